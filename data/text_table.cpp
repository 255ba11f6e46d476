// Splitting lines into fields and fields into numbers.
#include "data/text_table.h"

#include <charconv>
#include <cmath>
#include <fstream>

#include "tensor/errors.h"

namespace plumage {
namespace {

std::vector<std::string> split_fields(const std::string& line, char separator, size_t columns) {
  std::vector<std::string> fields;
  size_t at = 0;
  while (at <= line.size()) {
    if (separator == ' ') {
      at = line.find_first_not_of(" \t", at);
      if (at == std::string::npos) break;
    }
    bool rest = separator == ' ' && fields.size() + 1 == columns;
    size_t end = rest ? line.find_last_not_of(" \t") + 1 : line.find(separator, at);
    if (end == std::string::npos) end = line.size();
    fields.push_back(line.substr(at, end - at));
    if (rest) break;
    at = end + 1;
  }
  return fields;
}

template <class Number>
bool parse(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && !text.empty();
}

}  // namespace

TextTable::TextTable(std::filesystem::path file, char separator, size_t columns, const std::string& header)
    : file_(std::move(file)) {
  if (!std::filesystem::is_regular_file(file_)) throw InputError(file_.string() + ": no such file");
  std::ifstream in(file_);
  if (!in) throw InputError(file_.string() + ": cannot be opened for reading");
  std::string text;
  for (int64_t line = 1; std::getline(in, text); ++line) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    if (line == 1 && !header.empty()) {
      if (!text.starts_with(header))
        throw InputError(message(file_.string(), ":1: expected the heading ", header));
      continue;
    }
    if (text.find_first_not_of(" \t") == std::string::npos) continue;
    TextRow row{line, split_fields(text, separator, columns)};
    if (row.fields.size() < columns) {
      fail(row, message(row.fields.size(), " fields, wanted ", columns));
    }
    rows_.push_back(std::move(row));
  }
}

int64_t TextTable::integer(const TextRow& row, size_t column) const {
  int64_t value = 0;
  if (!parse(row.fields.at(column), value)) fail(row, "`" + row.fields[column] + "` is not a whole number");
  return value;
}

double TextTable::number(const TextRow& row, size_t column) const {
  double value = 0;
  if (!parse(row.fields.at(column), value) || !std::isfinite(value)) {
    fail(row, "`" + row.fields[column] + "` is not a number");
  }
  return value;
}

void TextTable::fail(const TextRow& row, const std::string& what) const {
  throw InputError(message(file_.string(), ":", row.line, ": ", what));
}

}  // namespace plumage
