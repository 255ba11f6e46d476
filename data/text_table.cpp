// Splitting bytes into lines, lines into fields and fields into numbers.
#include "data/text_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>

#include "tensor/errors.h"

namespace plumage {
namespace {

constexpr uintmax_t kMaxFileBytes = uintmax_t(1) << 30;
constexpr size_t kMaxQuoted = 80;

std::string read_text(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file)) throw InputError(file.string() + ": no such file");
  if (std::filesystem::file_size(file) > kMaxFileBytes)
    throw InputError(file.string() + ": larger than 1 GiB, no table of a data set");
  std::ifstream in(file, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in) throw InputError(file.string() + ": cannot be opened for reading");
  return text;
}

std::string trimmed(const std::string& text) {
  size_t first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

// Fields between runs of blanks; the last of `columns` takes the rest of the line.
std::vector<std::string> split_at_blanks(const std::string& line, size_t columns) {
  std::vector<std::string> fields;
  for (size_t at = line.find_first_not_of(" \t"); at != std::string::npos;) {
    bool rest = fields.size() + 1 == columns;
    size_t end = rest ? line.find_last_not_of(" \t") + 1 : std::min(line.find_first_of(" \t", at), line.size());
    fields.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(" \t", end);
  }
  return fields;
}

// Fields between separators; within "..." a separator is a character like others, and "" is one mark.
std::vector<std::string> split_at(const std::string& line, char separator) {
  std::vector<std::string> fields;
  for (size_t at = 0; at <= line.size();) {
    size_t mark = line.find_first_not_of(" \t", at);
    std::string field;
    if (mark != std::string::npos && line[mark] == '"') {
      for (at = mark + 1; at < line.size(); ++at) {
        if (line[at] == '"' && (at + 1 == line.size() || line[++at] != '"')) break;
        field += line[at];
      }
      at = std::min(line.find(separator, at), line.size());
    } else {
      size_t end = std::min(line.find(separator, at), line.size());
      field = trimmed(line.substr(at, end - at));
      at = end;
    }
    fields.push_back(std::move(field));
    ++at;
  }
  return fields;
}

std::vector<std::string> split_fields(const std::string& line, char separator, size_t columns) {
  return separator == ' ' ? split_at_blanks(line, columns) : split_at(line, separator);
}

template <class Number>
bool parse(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && !text.empty();
}

}  // namespace

std::vector<TextLine> read_lines(const std::filesystem::path& file) {
  std::string text = read_text(file);
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    throw InputError(file.string() + ": UTF-16 text; save it as UTF-8");
  if (text.find('\0') != std::string::npos) throw InputError(file.string() + ": not a text file, it holds zero bytes");
  std::vector<TextLine> lines;
  size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  for (int64_t number = 1; at < text.size(); ++number) {
    size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    if (text.find_first_not_of(" \t", at) < end) lines.push_back({number, text.substr(at, end - at)});
    at = end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
  }
  return lines;
}

std::string quoted(const std::string& text) {
  std::string shown = text.substr(0, kMaxQuoted);
  for (char& c : shown) c = static_cast<unsigned char>(c) < ' ' || c == 127 ? '?' : c;
  return "`" + shown + (text.size() > kMaxQuoted ? "...`" : "`");
}

TextTable::TextTable(std::filesystem::path file, char separator, size_t columns, const std::string& header)
    : file_(std::move(file)) {
  bool heading = !header.empty();
  for (const TextLine& line : read_lines(file_)) {
    TextRow row{line.number, split_fields(line.text, separator, columns)};
    if (heading) {
      std::vector<std::string> wanted = split_fields(header, separator, columns);
      bool same = row.fields.size() >= wanted.size() && std::equal(wanted.begin(), wanted.end(), row.fields.begin());
      if (!same) fail(row, "expected the heading " + header);
      heading = false;
      continue;
    }
    if (row.fields.size() < columns) fail(row, message(row.fields.size(), " fields, wanted ", columns));
    rows_.push_back(std::move(row));
  }
  if (heading) throw InputError(message(file_.string(), ": empty; expected the heading ", header));
}

int64_t TextTable::integer(const TextRow& row, size_t column) const {
  int64_t value = 0;
  if (!parse(row.fields.at(column), value)) fail(row, quoted(row.fields[column]) + " is not a whole number");
  return value;
}

double TextTable::number(const TextRow& row, size_t column) const {
  double value = 0;
  if (!parse(row.fields.at(column), value) || !std::isfinite(value)) {
    fail(row, quoted(row.fields[column]) + " is not a number");
  }
  return value;
}

void TextTable::fail(const TextRow& row, const std::string& what) const {
  throw InputError(message(file_.string(), ":", row.line, ": ", what));
}

}  // namespace plumage
