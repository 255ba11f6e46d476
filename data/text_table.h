// The small text files that data sets come with: lines without what editors leave in them, rows of fields, every
// complaint with file and line.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace plumage {

struct TextLine {
  int64_t number = 0;  ///< in the file, from 1
  std::string text;    ///< without its line break
};

/// All lines of a text file: LF, CRLF or CR, a byte order mark left out, blank lines too. Throws InputError naming the
/// file: absent, larger than 1 GiB, UTF-16, or bytes that no text has.
std::vector<TextLine> read_lines(const std::filesystem::path& file);

/// Text of a stranger's file for an error message: on one line and not long.
std::string quoted(const std::string& text);

struct TextRow {
  int64_t line = 0;  ///< in the file, from 1
  std::vector<std::string> fields;
};

class TextTable {
 public:
  /// Reads a file whose rows have at least `columns` fields. With `header` the first row is a heading that
  /// must begin with it. A separator of ' ' splits at runs of blanks and tabs, the last field taking the rest of the
  /// line; with another, blanks around a field and quotation marks around it are dropped. Throws InputError naming
  /// file and line.
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
