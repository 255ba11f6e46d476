// ReportData as a page. Next in the walk: eval/report_json.cpp, the same numbers for programs.
#include "eval/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/write_png.h"
#include "eval/html.h"
#include "eval/report_style.h"
#include "eval/whole_file.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

std::string element(const std::string& tag, std::string_view text, const std::string& attributes = "") {
  return "<" + tag + (attributes.empty() ? "" : " " + attributes) + ">" + escape_html(text) + "</" + tag +
         ">";
}

std::string paragraph(std::string_view text, const std::string& attributes = "") {
  return text.empty() ? "" : element("p", text, attributes) + "\n";
}

std::string section_head(const std::string& title, const std::string& caption) {
  return "<section>\n" + (title.empty() ? "" : element("h2", title) + "\n") +
         paragraph(caption, "class=\"caption\"");
}

/// The value that a column sets in bold; NaN for none (also where all are equal).
double best_of(const Table& table, size_t column) {
  Best best = table.columns[column].best;
  double winner = NAN, loser = NAN;
  for (const Row& row : table.rows) {
    const auto& value = row.cells[column].value;
    if (!value || !std::isfinite(*value)) continue;
    bool high = best == Best::high;
    if (std::isnan(winner) || (high ? *value > winner : *value < winner)) winner = *value;
    if (std::isnan(loser) || (high ? *value < loser : *value > loser)) loser = *value;
  }
  return best == Best::none || winner == loser ? NAN : winner;
}

std::string cell_html(const Cell& cell, const Column& column, double best) {
  if (!cell.value) return "<td class=\"none\" title=\"not measured\">\xE2\x80\x93</td>";
  char exact[32];
  std::snprintf(exact, sizeof exact, "%.17g", *cell.value);
  std::string shown =
      "<data value=\"" + std::string(exact) + "\">" + grouped(*cell.value, column.decimals) + "</data>";
  // What is printed alike is bold alike: a difference in digits that nobody sees is no difference.
  if (!std::isnan(best) && grouped(best, column.decimals) == grouped(*cell.value, column.decimals)) {
    shown = "<b>" + shown + "</b>";
  }
  if (cell.spread) shown += "<small>\xC2\xB1 " + grouped(*cell.spread, column.decimals) + "</small>";
  return "<td>" + shown + "</td>";
}

std::string table_html(const Table& table) {
  std::string html =
      section_head(table.title, table.caption) + "<div class=\"wide\"><table>\n<thead><tr><th></th>";
  std::vector<double> best;
  for (const Row& row : table.rows) {
    if (row.cells.size() == table.columns.size()) continue;
    throw ShapeError(message("report: row \"", row.name, "\" has ", row.cells.size(), " cells for ",
                             table.columns.size(), " columns"));
  }
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const Column& column = table.columns[c];
    best.push_back(best_of(table, c));
    html += "<th scope=\"col\">" + escape_html(column.name) +
            (column.unit.empty() ? "" : element("small", column.unit)) + "</th>";
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const Row& row : table.rows) {
    html += "<tr><th scope=\"row\">" + escape_html(row.name) +
            (row.note.empty() ? "" : element("small", row.note)) + "</th>";
    for (size_t c = 0; c < row.cells.size(); ++c) html += cell_html(row.cells[c], table.columns[c], best[c]);
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n</section>\n";
}

std::string charts_html(const std::vector<Chart>& charts) {
  if (charts.empty()) return "";
  std::string html = "<section>\n<h2>Curves</h2>\n<div class=\"charts\">\n";
  for (const Chart& chart : charts) {
    html += "<figure><figcaption>" + element("strong", chart.title) + escape_html(chart.caption);
    html += "<ul class=\"legend\">";
    for (size_t i = 0; i < chart.curves.size(); ++i) {
      html += element("li", chart.curves[i].name, "class=\"c" + std::to_string(i % 8) + "\"");
    }
    html += "</ul></figcaption>" + svg_chart(chart) + "</figure>\n";
  }
  return html + "</div>\n</section>\n";
}

std::string picture_html(const Picture& picture) {
  if (picture.image.empty()) return "<figure></figure>";
  bool small = std::max(picture.image.width, picture.image.height) <= 128;
  std::string kind = small ? "small" : "";
  if (picture.verdict != Verdict::none) kind += picture.verdict == Verdict::right ? " right" : " wrong";
  std::string alt = picture.caption;
  if (picture.verdict != Verdict::none) alt += picture.verdict == Verdict::right ? " (right)" : " (wrong)";
  std::string caption = picture.caption.empty() && picture.verdict == Verdict::none
                            ? ""
                            : element("figcaption", picture.caption);
  return "<figure class=\"" + kind + "\"><img alt=\"" + escape_html(alt) + "\" width=\"" +
         std::to_string(picture.image.width) + "\" height=\"" + std::to_string(picture.image.height) +
         "\" src=\"data:image/png;base64," + base64(encode_png(picture.image)) + "\">" + caption +
         "</figure>";
}

std::string gallery_html(const Gallery& gallery) {
  size_t columns = gallery.columns.size();
  for (const auto& row : gallery.rows) columns = std::max(columns, row.size());
  std::string html = section_head(gallery.title, gallery.caption);
  html +=
      "<div class=\"pictures\" style=\"--columns:" + std::to_string(std::max<size_t>(columns, 1)) + "\">\n";
  if (!gallery.columns.empty()) {
    for (size_t c = 0; c < columns; ++c) {
      html += element("div", c < gallery.columns.size() ? gallery.columns[c] : "", "class=\"heading\"");
    }
  }
  for (const auto& row : gallery.rows) {
    for (const Picture& picture : row) html += picture_html(picture) + "\n";
    for (size_t c = row.size(); c < columns; ++c) html += "<figure></figure>\n";
  }
  return html + "</div>\n</section>\n";
}

std::string gauges_html(const std::vector<Gauge>& gauges) {
  if (gauges.empty()) return "";
  std::string html = "<section>\n<h2>Gauges</h2>\n<div class=\"gauges\">\n";
  for (const Gauge& gauge : gauges) {
    html += std::string("<dl class=\"gauge") + (gauge.attention ? " attention" : "") + "\">" +
            element("dt", gauge.name) + "<dd>" + grouped(gauge.value, gauge.decimals) +
            (gauge.unit.empty() ? "" : element("small", gauge.unit)) + "</dd>" +
            element("dd", gauge.sentence) + "</dl>\n";
  }
  return html + "</div>\n</section>\n";
}

std::string run_html(const ReportData& data) {
  if (data.facts.empty() && data.commands.empty() && data.config.empty()) return "";
  std::string html = "<section>\n<h2>What was run</h2>\n";
  if (!data.facts.empty()) {
    html += "<dl class=\"facts\">";
    for (const auto& [name, value] : data.facts) html += element("dt", name) + element("dd", value);
    html += "</dl>\n";
  }
  if (!data.commands.empty()) {
    std::string lines;
    for (const std::string& command : data.commands) lines += (lines.empty() ? "" : "\n") + command;
    html += element("pre", lines) + "\n";
  }
  if (!data.config.empty()) {
    html += "<details><summary>Configuration</summary>" + element("pre", data.config) + "</details>\n";
  }
  return html + "</section>\n";
}

std::string notes_html(const std::vector<std::string>& notes) {
  if (notes.empty()) return "";
  std::string html = "<section>\n<h2>Notes</h2>\n<ul class=\"notes\">\n";
  for (const std::string& note : notes) html += element("li", note) + "\n";
  return html + "</ul>\n</section>\n";
}

}  // namespace

std::string report_html(const ReportData& data) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      // A browser holds the page to its word: nothing runs, nothing is fetched.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "img-src data:\">\n";
  html += element("title", data.title) + "\n<style>" + kReportStyle + "</style>\n</head>\n<body>\n<main>\n";
  html += "<header>\n<p class=\"kicker\">plumage</p>\n" + element("h1", data.title) + "\n";
  for (const std::string& text : data.summary) html += paragraph(text);
  html += "</header>\n";
  for (const Table& table : data.tables) html += table_html(table);
  html += charts_html(data.charts);
  for (const Gallery& gallery : data.galleries) html += gallery_html(gallery);
  html += gauges_html(data.gauges) + run_html(data) + notes_html(data.notes);
  return html + "</main>\n</body>\n</html>\n";
}

std::filesystem::path write_report(const std::filesystem::path& folder, const ReportData& data) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw MachineError(message(folder.string(), ": cannot be made: ", error.message()));
  write_whole_file(folder / "results.json", report_json(data));
  write_whole_file(folder / "report.html", report_html(data));
  return folder / "report.html";
}

}  // namespace plumage
