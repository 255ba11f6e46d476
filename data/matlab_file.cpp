// matio behind two doors. What it is handed has been walked once by matlab_layout.cpp, since it believes sizes.
#include "data/matlab_file.h"

#include "data/matlab_layout.h"
#include "tensor/errors.h"

#if PLUMAGE_HAS_MATIO
#include <matio.h>

#include <cmath>
#include <cstring>

namespace plumage {
namespace {

constexpr size_t kMaxText = 4096;

struct Close {
  void operator()(mat_t* mat) const { Mat_Close(mat); }
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};
using Variable = std::unique_ptr<matvar_t, Close>;

Variable read_variable(const std::filesystem::path& file, const std::string& name, matio_classes wanted,
                       const char* kind) {
  check_matlab_layout(file);
  std::unique_ptr<mat_t, Close> mat(Mat_Open(file.c_str(), MAT_ACC_RDONLY));
  if (!mat) throw InputError(file.string() + ": damaged MATLAB file");
  Variable variable(Mat_VarRead(mat.get(), name.c_str()));
  if (!variable) throw InputError(message(file.string(), ": no variable `", name, "` in it that can be read"));
  if (variable->class_type != wanted || variable->rank < 1 || !variable->dims)
    throw InputError(message(file.string(), ": `", name, "` is not a ", kind));
  return variable;
}

int64_t elements(const matvar_t& variable) {
  int64_t count = 1;
  for (int i = 0; i < variable.rank; ++i) count *= int64_t(variable.dims[i]);
  return count;
}

template <class T>
bool number_as(const matvar_t& variable, double& value) {
  T stored;
  if (variable.nbytes < sizeof stored) return false;
  std::memcpy(&stored, variable.data, sizeof stored);
  value = double(stored);
  return true;
}

// The value of a numeric array of one element.
bool scalar(const matvar_t* variable, double& value) {
  if (!variable || !variable->data || variable->isComplex || variable->rank < 1 || elements(*variable) != 1) return false;
  switch (variable->class_type) {
    case MAT_C_DOUBLE: return number_as<double>(*variable, value);
    case MAT_C_SINGLE: return number_as<float>(*variable, value);
    case MAT_C_INT8: return number_as<int8_t>(*variable, value);
    case MAT_C_UINT8: return number_as<uint8_t>(*variable, value);
    case MAT_C_INT16: return number_as<int16_t>(*variable, value);
    case MAT_C_UINT16: return number_as<uint16_t>(*variable, value);
    case MAT_C_INT32: return number_as<int32_t>(*variable, value);
    case MAT_C_UINT32: return number_as<uint32_t>(*variable, value);
    case MAT_C_INT64: return number_as<int64_t>(*variable, value);
    case MAT_C_UINT64: return number_as<uint64_t>(*variable, value);
    default: return false;
  }
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += char(code);
  } else if (code < 0x800) {
    text += {char(0xC0 | code >> 6), char(0x80 | (code & 63))};
  } else {
    text += {char(0xE0 | code >> 12), char(0x80 | (code >> 6 & 63)), char(0x80 | (code & 63))};
  }
}

// A char array of one row.
bool line_of_text(const matvar_t* variable, std::string& text) {
  text.clear();
  if (!variable || variable->class_type != MAT_C_CHAR || variable->rank != 2) return false;
  size_t length = size_t(elements(*variable));
  if (length == 0) return true;
  bool utf8 = variable->data_type == MAT_T_UTF8;
  bool narrow = utf8 || variable->data_type == MAT_T_UINT8 || variable->data_type == MAT_T_INT8;
  bool wide = variable->data_type == MAT_T_UINT16 || variable->data_type == MAT_T_UTF16;
  size_t unit = wide ? 2 : 1;
  if (utf8) length = variable->nbytes;  // characters may take several
  if (!(narrow || wide) || !variable->data || variable->dims[0] != 1 || length > kMaxText ||
      variable->nbytes < length * unit) {
    return false;
  }
  const auto* bytes = static_cast<const uint8_t*>(variable->data);
  for (size_t i = 0; i < length; ++i) {
    uint16_t code = 0;
    std::memcpy(&code, bytes + i * unit, unit);  // as the machine stores numbers; matio has swapped them
    if (code < ' ') return false;
    if (utf8) text += char(code);
    else append_utf8(text, code);
  }
  return true;
}

}  // namespace

struct MatlabTable::Handle {
  Variable variable;
};

MatlabTable::MatlabTable(const std::filesystem::path& file, const std::string& variable)
    : file_(file), handle_(new Handle{read_variable(file, variable, MAT_C_STRUCT, "struct array")}) {
  rows_ = elements(*handle_->variable);
}

MatlabTable::~MatlabTable() = default;

bool MatlabTable::has(const std::string& field) const {
  return rows_ > 0 && Mat_VarGetStructFieldByName(handle_->variable.get(), field.c_str(), 0);
}

int64_t MatlabTable::integer(int64_t row, const std::string& field) const {
  double value = 0;
  if (!scalar(Mat_VarGetStructFieldByName(handle_->variable.get(), field.c_str(), size_t(row)), value) ||
      !(std::abs(value) < 1e15) || value != std::floor(value)) {
    fail(row, "its field `" + field + "` is not a whole number");
  }
  return int64_t(value);
}

std::string MatlabTable::text(int64_t row, const std::string& field) const {
  std::string text;
  if (!line_of_text(Mat_VarGetStructFieldByName(handle_->variable.get(), field.c_str(), size_t(row)), text))
    fail(row, "its field `" + field + "` is not a line of text");
  return text;
}

void MatlabTable::fail(int64_t row, const std::string& what) const {
  throw InputError(message(file_.string(), ": row ", row + 1, ": ", what));
}

std::vector<std::string> read_matlab_texts(const std::filesystem::path& file, const std::string& variable) {
  Variable cells = read_variable(file, variable, MAT_C_CELL, "cell array");
  std::vector<std::string> texts(size_t(elements(*cells)));
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!line_of_text(Mat_VarGetCell(cells.get(), int(i)), texts[i]))
      throw InputError(message(file.string(), ": `", variable, "`: cell ", i + 1, " is not a line of text"));
  }
  return texts;
}

}  // namespace plumage

#else

namespace plumage {

struct MatlabTable::Handle {};

namespace {

[[noreturn]] void absent(const std::filesystem::path& file) {
  throw InputError(file.string() + ": a MATLAB file, and this plumage was built without matio; install it (Debian: " +
                   "libmatio-dev) and build with -DPLUMAGE_MATIO=ON");
}

}  // namespace

MatlabTable::MatlabTable(const std::filesystem::path& file, const std::string&) { absent(file); }
MatlabTable::~MatlabTable() = default;
bool MatlabTable::has(const std::string&) const { return false; }
int64_t MatlabTable::integer(int64_t, const std::string&) const { return 0; }
std::string MatlabTable::text(int64_t, const std::string&) const { return ""; }
void MatlabTable::fail(int64_t, const std::string& what) const { throw InputError(file_.string() + ": " + what); }

std::vector<std::string> read_matlab_texts(const std::filesystem::path& file, const std::string&) { absent(file); }

}  // namespace plumage
#endif
