// The variables of a MATLAB file (version 5 to 7) that data sets keep their tables in: a struct array, a cell array of
// texts. Read by matio; without it (PLUMAGE_MATIO=OFF) opening one is an error that says so.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace plumage {

/// A struct array such as `annotations(1, 8144)` with the fields `bbox_x1`, ..., `fname`.
class MatlabTable {
 public:
  /// Throws InputError naming the file: absent, larger than 64 MiB, not a MATLAB file of version 5 to 7, damaged, or
  /// without a struct array of this name. Sizes that the file states are checked before they are believed.
  MatlabTable(const std::filesystem::path& file, const std::string& variable);
  ~MatlabTable();
  MatlabTable(const MatlabTable&) = delete;
  MatlabTable& operator=(const MatlabTable&) = delete;

  int64_t rows() const { return rows_; }
  bool has(const std::string& field) const;
  /// A field of row `row`, counted from 0. Throws InputError naming file, row and field unless it is one whole number,
  /// or one line of text.
  int64_t integer(int64_t row, const std::string& field) const;
  std::string text(int64_t row, const std::string& field) const;
  [[noreturn]] void fail(int64_t row, const std::string& what) const;

 private:
  struct Handle;
  std::filesystem::path file_;
  std::unique_ptr<Handle> handle_;
  int64_t rows_ = 0;
};

/// A cell array of texts. Throws InputError as above.
std::vector<std::string> read_matlab_texts(const std::filesystem::path& file, const std::string& variable);

}  // namespace plumage
