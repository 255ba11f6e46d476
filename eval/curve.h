// Curves over a run as SVG: losses, gauges, accuracies. Next in the walk: eval/report.h.
#pragma once
#include <string>
#include <vector>

namespace plumage {

struct Curve {
  std::string name;
  std::vector<double> x, y;  ///< of one length; points that are not finite interrupt the line
};

struct Chart {
  std::string key;  ///< its name in results.json
  std::string title, caption;
  std::string x_label, y_label;
  bool log_y = false;  ///< points at or below 0 are left out
  std::vector<Curve> curves;
};

enum class SvgUse {
  inside_html,  ///< colours by the page's style: classes `curve c0` .. `curve c7`, `grid`, `axis`
  own_file,     ///< colours and name space of its own
};

/// Axes with round numbers, at most 240 points a curve: longer ones are drawn as means of neighbours, over a
/// faint line of the finer course.
std::string svg_chart(const Chart& chart, SvgUse use = SvgUse::inside_html);

/// Round numbers that cover low..high in about `wanted` steps, ascending.
std::vector<double> round_ticks(double low, double high, int wanted = 5);

}  // namespace plumage
