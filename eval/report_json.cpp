// results.json: the numbers of the page.
#include <cmath>

#include <nlohmann/json.hpp>

#include "eval/report.h"

namespace plumage {
namespace {

using Json = nlohmann::ordered_json;

Json number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (double v : values) list.push_back(number(v));
  return list;
}

Json table_json(const Table& table) {
  Json columns = Json::array(), rows = Json::array();
  for (const Column& column : table.columns) {
    columns.push_back({{"key", column.key}, {"name", column.name}, {"unit", column.unit}});
  }
  for (const Row& row : table.rows) {
    Json values = Json::object(), spread = Json::object();
    for (size_t c = 0; c < row.cells.size() && c < table.columns.size(); ++c) {
      values[table.columns[c].key] = number(row.cells[c].value);
      if (row.cells[c].spread) spread[table.columns[c].key] = number(row.cells[c].spread);
    }
    Json entry{{"name", row.name}, {"note", row.note}, {"values", values}};
    if (!spread.empty()) entry["spread"] = spread;
    rows.push_back(entry);
  }
  return {{"key", table.key}, {"title", table.title}, {"columns", columns}, {"rows", rows}};
}

Json chart_json(const Chart& chart) {
  Json curves = Json::array();
  for (const Curve& curve : chart.curves) {
    curves.push_back({{"name", curve.name}, {"x", numbers(curve.x)}, {"y", numbers(curve.y)}});
  }
  return {{"key", chart.key}, {"title", chart.title}, {"x_label", chart.x_label}, {"curves", curves}};
}

}  // namespace

std::string report_json(const ReportData& data) {
  Json tables = Json::array(), charts = Json::array(), gauges = Json::array(), facts = Json::object();
  for (const Table& table : data.tables) tables.push_back(table_json(table));
  for (const Chart& chart : data.charts) charts.push_back(chart_json(chart));
  for (const Gauge& gauge : data.gauges) {
    gauges.push_back({{"key", gauge.key},
                      {"name", gauge.name},
                      {"value", number(gauge.value)},
                      {"unit", gauge.unit},
                      {"attention", gauge.attention},
                      {"sentence", gauge.sentence}});
  }
  for (const auto& [name, value] : data.facts) facts[name] = value;
  Json all{{"title", data.title},       {"summary", data.summary}, {"tables", tables},
           {"charts", charts},          {"gauges", gauges},        {"facts", facts},
           {"commands", data.commands}, {"config", data.config},   {"notes", data.notes}};
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace plumage
