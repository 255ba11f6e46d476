// The page that a run ends with: one HTML file that needs nothing else, and the same numbers as JSON. The
// program fills a ReportData from what it measured; nothing here computes a result.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eval/curve.h"
#include "eval/picture.h"

namespace plumage {

enum class Best { none, high, low };  ///< which value of a column is set in bold

struct Column {
  std::string key;   ///< in results.json: "rank1"
  std::string name;  ///< on the page: "rank-1"
  std::string unit;  ///< under the name: "%", "s"; may be empty
  int decimals = 1;
  Best best = Best::none;
};

struct Cell {
  std::optional<double> value;   ///< none: not measured
  std::optional<double> spread;  ///< standard deviation over seeds
  Cell() = default;
  Cell(double v) : value(v) {}
  Cell(double v, double s) : value(v), spread(s) {}
};

struct Row {
  std::string name, note;   ///< note: small, under the name
  std::vector<Cell> cells;  ///< one a column
};

struct Table {
  std::string key, title, caption;
  std::vector<Column> columns;
  std::vector<Row> rows;
};

/// Rows of pictures under common headings: a query and its neighbours, an original and what was made of it.
struct Gallery {
  std::string title, caption;
  std::vector<std::string> columns;  ///< headings; may be empty
  std::vector<std::vector<Picture>> rows;
};

struct Gauge {
  std::string key, name;
  double value = 0;
  int decimals = 2;
  std::string unit;
  std::string sentence;    ///< what it means, in one plain sentence
  bool attention = false;  ///< outside of where it should be
};

struct ReportData {
  std::string title;
  std::vector<std::string> summary;  ///< a paragraph each
  std::vector<Table> tables;
  std::vector<Chart> charts;
  std::vector<Gallery> galleries;
  std::vector<Gauge> gauges;
  std::vector<std::pair<std::string, std::string>> facts;  ///< what was run: data, seed, versions, machine
  std::vector<std::string> commands;                       ///< to run it again, a line each
  std::string config;                                      ///< the resolved configuration file
  std::vector<std::string> notes;                          ///< what the numbers do not show
};

/// A complete page: style, pictures and curves inside, no scripts, nothing fetched. All text is escaped.
/// Throws ShapeError for a row without one cell a column.
std::string report_html(const ReportData& data);

/// Tables, curves, gauges, facts; numbers in full precision, null where not measured or not finite.
std::string report_json(const ReportData& data);

/// Writes report.html and results.json into `folder` (made if absent); returns the path of the page.
/// Throws MachineError naming the file.
std::filesystem::path write_report(const std::filesystem::path& folder, const ReportData& data);

}  // namespace plumage
