// The page holds what it was given, safely and alone; results.json holds the same numbers.
// g++ 12 under its sanitizers sees an uninitialised member in std::regex where there is none.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "eval/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <regex>

#include <nlohmann/json.hpp>

#include "eval/gallery.h"
#include "eval/html.h"
#include "tests/data/bundle.h"
#include "tests/eval/feature_cases.h"

using namespace plumage;

namespace {

const std::string kAttack = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>";

Image plain(int64_t width, int64_t height, Colour colour) {
  Image image(width, height);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = colour[i % 3];
  return image;
}

ReportData example() {
  ReportData data;
  data.title = "A run";
  data.summary = {"What was done."};
  Table table{"encoders", "Encoders", "In percent.", {}, {}};
  table.columns = {{"rank1", "rank-1", "%", 1, Best::high}, {"seconds", "time", "s", 0, Best::low}};
  table.rows = {{"base", "", {61.28, 0}},
                {"MoCo v2", "equal images", {{66.04, 0.75}, 1234.6}},
                {"pairs", "", {{}, NAN}}};
  data.tables = {table};
  data.charts = {{"loss", "Loss", "", "step", "", false, {{"moco", {0, 1, 2}, {3, NAN, 1}}}}};
  data.galleries = {
      {"Pairs", "", {"original", "perturbed"}, {{{plain(2, 2, {9, 8, 7}), "one", Verdict::right}}}}};
  data.gauges = {{"erank", "Effective rank", 37.4, 1, "", "Many directions are used.", false}};
  data.facts = {{"seed", "0"}};
  data.commands = {"plumage demo --seed 0"};
  data.config = "[train]\nbatch = 64";
  data.notes = {"One seed."};
  return data;
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("html: escapes, bytes that are not UTF-8, base64, numbers") {
  CHECK(escape_html("a<b>&\"'\x01\n") == "a&lt;b&gt;&amp;&quot;&#39;\n");
  CHECK(escape_html("\xC3\xA9 \xFF \xC3") == "\xC3\xA9 \xEF\xBF\xBD \xEF\xBF\xBD");
  CHECK(escape_html("\xC0\xBC") == "\xEF\xBF\xBD\xEF\xBF\xBD");  // an overlong < is not a <
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xFF\xFE\xFD") == "//79");
  CHECK(grouped(1234567.25, 1) == "1,234,567.2");
  CHECK(grouped(-0.01, 1) == "0.0");
  CHECK(grouped(-12.5, 1) ==
        "\xE2\x88\x92"
        "12.5");
  CHECK(grouped(999, 0) == "999");
  CHECK(grouped(NAN, 1) == "not a number");
}

TEST_CASE("report: nothing that it is given becomes markup") {
  ReportData data = example();
  data.title = data.summary[0] = kAttack;
  data.tables[0].title = data.tables[0].caption = data.tables[0].rows[0].name = data.tables[0].rows[1].note =
      kAttack;
  data.tables[0].columns[0].name = data.tables[0].columns[0].unit = kAttack;
  data.charts[0].title = data.charts[0].caption = data.charts[0].x_label = data.charts[0].curves[0].name =
      kAttack;
  data.galleries[0].title = data.galleries[0].columns[0] = data.galleries[0].rows[0][0].caption = kAttack;
  data.gauges[0].name = data.gauges[0].sentence = data.gauges[0].unit = kAttack;
  data.facts[0] = {kAttack, kAttack};
  data.commands = {kAttack};
  data.config = kAttack;
  data.notes = {kAttack};
  std::string page = report_html(data);
  CHECK(count(page, "<script") == 0);
  CHECK(count(page, "<img src=http") == 0);
  CHECK(count(page, "<img ") == 1);  // the one picture
  CHECK(count(page, "&lt;script&gt;") >= 20);
  CHECK(nlohmann::json::accept(report_json(data)));
  data.title = "\xFF";
  CHECK(nlohmann::json::accept(report_json(data)));
}

TEST_CASE("report: the page needs nothing but itself") {
  std::string page = report_html(example());
  std::regex outside("(src|href|url)\\s*[=(]\\s*[\"']?\\s*(https?:|//|[a-z]+/)", std::regex::icase);
  std::string without_pictures =
      std::regex_replace(page, std::regex("src=\"data:image/png;base64,[A-Za-z0-9+/=]*\""), "");
  CHECK_FALSE(std::regex_search(without_pictures, outside));
  CHECK(count(page, "http") == 1);  // http-equiv, which forbids it all
  CHECK(count(page, "<link") == 0);
  CHECK(count(page, "@import") == 0);
  CHECK(count(page, "src=\"data:image/png;base64,iVBORw0KGgo") == 1);
  CHECK(count(page, "prefers-color-scheme: dark") == 1);
  CHECK(count(page, "width=device-width") == 1);
  for (const char* tag : {"section", "table", "figure", "div", "dl", "tr", "td", "svg", "ul", "p"}) {
    CAPTURE(tag);
    std::regex opening(std::string("<") + tag + "[ >]");
    auto opened =
        std::distance(std::sregex_iterator(page.begin(), page.end(), opening), std::sregex_iterator());
    CHECK(opened == count(page, std::string("</") + tag + ">"));
  }
}

TEST_CASE("report: results.json has the numbers of the table, in full") {
  ReportData data = example();
  std::string page = report_html(data);
  nlohmann::json json = nlohmann::json::parse(report_json(data));
  std::vector<double> of_page;
  std::regex value("<data value=\"([^\"]*)\">");
  for (std::sregex_iterator it(page.begin(), page.end(), value), end; it != end; ++it) {
    of_page.push_back(std::stod((*it)[1]));
  }
  std::vector<double> of_json;
  for (const auto& row : json["tables"][0]["rows"]) {
    for (const char* key : {"rank1", "seconds"}) {
      if (row["values"][key].is_number()) of_json.push_back(row["values"][key]);
    }
  }
  REQUIRE(of_json.size() == 4);
  CHECK(of_json == std::vector<double>{61.28, 0, 66.04, 1234.6});
  std::erase_if(of_page, [](double v) { return std::isnan(v); });
  CHECK(of_page == of_json);
  CHECK(json["tables"][0]["rows"][2]["values"]["rank1"].is_null());
  CHECK(json["tables"][0]["rows"][2]["values"]["seconds"].is_null());
  CHECK(json["tables"][0]["rows"][1]["spread"]["rank1"] == 0.75);
  CHECK(json["charts"][0]["curves"][0]["y"][1].is_null());
  CHECK(json["gauges"][0]["value"] == 37.4);
  CHECK(json["facts"]["seed"] == "0");
}

TEST_CASE("report: the best of a column is bold, alike values are bold alike, a lone value is not") {
  ReportData data = example();
  std::string page = report_html(data);
  CHECK(page.find("<b><data value=\"66.040000000000006\">66.0</data></b>") != std::string::npos);
  CHECK(page.find("<b><data value=\"0\">0</data></b>") != std::string::npos);
  CHECK(page.find("1,235</data>") != std::string::npos);
  CHECK(page.find("\xC2\xB1 0.8") != std::string::npos);
  CHECK(count(page, "not measured") == 1);
  data.tables[0].rows[0].cells[0] = 66.02;  // prints as 66.0 too
  CHECK(count(report_html(data), "<b>") == 3);
  data.tables[0].rows.resize(1);
  CHECK(count(report_html(data), "<b>") == 0);
  data.tables[0].rows[0].cells.pop_back();
  CHECK_THROWS_AS(report_html(data), ShapeError);
}

TEST_CASE("report: an empty one is still a page; files are written whole or named") {
  CHECK(report_html({}).find("</html>") != std::string::npos);
  test::ScratchFolder folder;
  std::filesystem::path page = write_report(folder / "deep/run", example());
  CHECK(page == folder / "deep/run/report.html");
  CHECK(read(page) == report_html(example()));
  CHECK(read(folder / "deep/run/results.json") == report_json(example()));
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "deep/run"), {}) ==
        2);  // nothing left beside
  folder.write("file", "");
  CHECK_THROWS_AS(write_report(folder / "file", example()), MachineError);
  CHECK_THROWS_AS(write_report("/proc/no-such-folder", example()), MachineError);
}

TEST_CASE("curves: round ticks, gaps, long runs thinned, one file by itself") {
  CHECK(round_ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(round_ticks(-1, 1, 4) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
  CHECK(round_ticks(1, 1).empty());
  CHECK(round_ticks(0, INFINITY).empty());

  Chart chart{"k", "t", "", "step", "", false, {{"a", {0, 1, 2, 3}, {1, 2, NAN, 4}}}};
  std::string svg = svg_chart(chart);
  size_t at = svg.find("class=\"curve c0\" d=\"");
  std::string path = svg.substr(at, svg.find("\"", at + 20) - at);
  CHECK(count(path, "M") == 2);  // before and after the gap
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("xmlns") == std::string::npos);
  CHECK(svg_chart(chart, SvgUse::own_file).find("xmlns=\"http://www.w3.org/2000/svg\"") != std::string::npos);

  Curve longer{"b", {}, {}};
  for (int i = 0; i < 100000; ++i) longer.x.push_back(i), longer.y.push_back(std::sin(i * 0.01));
  chart.curves = {longer};
  CHECK(svg_chart(chart).size() < 12000);
  chart.log_y = true;
  CHECK(svg_chart(chart).find("nan") == std::string::npos);
  chart.curves = {{"flat", {5, 5}, {0, 0}}, {"none", {}, {}}, {"inf", {1}, {INFINITY}}};
  CHECK(svg_chart(chart).find("nan") == std::string::npos);
  chart.curves = {{"odd", {1, 2}, {1}}};
  CHECK_THROWS_AS(svg_chart(chart), ShapeError);
}
