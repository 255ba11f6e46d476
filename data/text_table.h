// The small text files that data sets come with: one row a line, fields between separators, every complaint
// with file and line.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace plumage {

struct TextRow {
  int64_t line = 0;  ///< in the file, from 1
  std::vector<std::string> fields;
};

class TextTable {
 public:
  /// Reads a file whose rows have at least `columns` fields. With `header` the first row is a heading that
  /// must begin with it. Blank lines and carriage returns are skipped. A separator of ' ' splits at runs of
  /// blanks, the last field taking the rest of the line. Throws InputError naming file and line.
  TextTable(std::filesystem::path file, char separator, size_t columns, const std::string& header = "");

  const std::vector<TextRow>& rows() const { return rows_; }
  /// A field as a number. Throws InputError unless the whole field is one.
  int64_t integer(const TextRow& row, size_t column) const;
  double number(const TextRow& row, size_t column) const;
  [[noreturn]] void fail(const TextRow& row, const std::string& what) const;

 private:
  std::filesystem::path file_;
  std::vector<TextRow> rows_;
};

}  // namespace plumage
