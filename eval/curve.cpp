// Scales, ticks and paths. Next in the walk: eval/report.cpp.
#include "eval/curve.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "eval/html.h"
#include "tensor/errors.h"

namespace plumage {
namespace {

constexpr double kWidth = 360, kHeight = 216, kLeft = 46, kRight = 10, kTop = 10, kBottom = 36;
constexpr size_t kFinePoints = 240, kCalmPoints = 48;
constexpr std::array<const char*, 8> kColours{"#1b7f79", "#d9772b", "#7a5ea8", "#3a78b5",
                                              "#c0476b", "#7d8b2e", "#8a6d4b", "#5b6770"};

struct Scale {
  double low = 0, high = 1;
  bool log = false;
  double share(double value) const {
    double v = log ? std::log10(value) : value;
    return (v - low) / (high - low);
  }
};

bool shown(const Chart& chart, double x, double y) {
  return std::isfinite(x) && std::isfinite(y) && (!chart.log_y || y > 0);
}

/// The range of what is shown, never empty.
Scale range(const Chart& chart, bool of_y) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  bool log = of_y && chart.log_y;
  for (const Curve& curve : chart.curves) {
    for (size_t i = 0; i < curve.x.size(); ++i) {
      if (!shown(chart, curve.x[i], curve.y[i])) continue;
      double value = of_y ? curve.y[i] : curve.x[i];
      if (log) value = std::log10(value);
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (!(low <= high)) low = 0, high = 1;
  if (!(high - low > 1e-12 * std::max(std::abs(low), std::abs(high)))) low -= 0.5, high += 0.5;
  if (of_y) {
    double air = (high - low) * 0.06;
    bool from_zero = !log && low >= 0 && low < air;  // a curve that comes near 0 shows 0
    low = from_zero ? 0 : low - air;
    high += air;
  }
  return {low, high, log};
}

struct Frame {
  Scale x, y;
  double px(double value) const { return kLeft + x.share(value) * (kWidth - kLeft - kRight); }
  double py(double value) const { return kHeight - kBottom - y.share(value) * (kHeight - kTop - kBottom); }
};

/// Means of runs of neighbours, at most `points` of them; a gap stays a gap.
Curve thinned(const Curve& curve, size_t points) {
  size_t n = curve.x.size();
  if (n <= points) return curve;
  Curve result;
  for (size_t p = 0; p < points; ++p) {
    size_t first = p * n / points, last = (p + 1) * n / points;
    double x = 0, y = 0;
    for (size_t i = first; i < last; ++i) x += curve.x[i], y += curve.y[i];
    result.x.push_back(x / double(last - first));
    result.y.push_back(y / double(last - first));
  }
  return result;
}

std::string path_of(const Chart& chart, const Frame& frame, const Curve& curve) {
  std::string path;
  bool pen_down = false;
  for (size_t i = 0; i < curve.x.size(); ++i) {
    if (!shown(chart, curve.x[i], curve.y[i])) {
      pen_down = false;
      continue;
    }
    path += pen_down ? "L" : "M";
    path += fixed(frame.px(curve.x[i]), 1) + " " + fixed(frame.py(curve.y[i]), 1);
    if (!pen_down && (i + 1 == curve.x.size() || !shown(chart, curve.x[i + 1], curve.y[i + 1])))
      path += "h.1";
    pen_down = true;
  }
  return path;
}

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return "<text x=\"" + fixed(x, 1) + "\" y=\"" + fixed(y, 1) + "\" text-anchor=\"" + anchor + "\">" +
         escape_html(words) + "</text>";
}

std::string line(const char* kind, double x1, double y1, double x2, double y2) {
  return std::string("<path class=\"") + kind + "\" d=\"M" + fixed(x1, 1) + " " + fixed(y1, 1) + "L" +
         fixed(x2, 1) + " " + fixed(y2, 1) + "\"/>";
}

/// 1, 2, 5 of each power of ten in a range of logarithms, or powers alone where there would be too many.
std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  double every = std::ceil((high - low) / 6);
  for (double power = std::floor(low); power <= high; ++power) {
    if (high - low > 2.5 && std::fmod(power, every) != 0) continue;
    for (double factor : {1.0, 2.0, 5.0}) {
      double at = power + std::log10(factor);
      if (at >= low && at <= high && (factor == 1 || high - low <= 2.5))
        ticks.push_back(factor * std::pow(10.0, power));
    }
  }
  return ticks;
}

std::string axes(const Chart& chart, const Frame& frame) {
  std::string svg;
  const Scale& up = frame.y;
  for (double tick : up.log ? log_ticks(up.low, up.high) : round_ticks(up.low, up.high, 4)) {
    double y = frame.py(tick);
    svg += line("grid", kLeft, y, kWidth - kRight, y) + text(kLeft - 6, y + 3.5, "end", short_number(tick));
  }
  for (double tick : round_ticks(frame.x.low, frame.x.high, 5)) {
    svg += text(frame.px(tick), kHeight - kBottom + 15, "middle", short_number(tick));
  }
  svg += line("axis", kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom);
  return svg + text((kLeft + kWidth - kRight) / 2, kHeight - 5, "middle", chart.x_label);
}

std::string own_style() {
  std::string style =
      "<style>svg{background:#fff}text{font:11px sans-serif;fill:#666}path{fill:none}"
      ".grid{stroke:#e4e2dc}.axis{stroke:#999}.curve{stroke-width:1.6;stroke-linejoin:round}"
      ".faint{opacity:.25;stroke-width:1}";
  for (size_t i = 0; i < kColours.size(); ++i)
    style += ".c" + std::to_string(i) + "{stroke:" + kColours[i] + "}";
  return style + "</style>";
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int wanted) {
  if (!(high > low) || !std::isfinite(high - low) || wanted < 1) return {};
  double raw = (high - low) / wanted, power = std::pow(10.0, std::floor(std::log10(raw))), step = 10 * power;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * 0.7) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step && ticks.size() < 50; ++i) {
    ticks.push_back(i == 0 ? 0 : i * step);
  }
  return ticks;
}

std::string svg_chart(const Chart& chart, SvgUse use) {
  for (const Curve& curve : chart.curves) {
    if (curve.x.size() == curve.y.size()) continue;
    throw ShapeError(
        message("curve \"", curve.name, "\": ", curve.x.size(), " x for ", curve.y.size(), " y"));
  }
  Frame frame{range(chart, false), range(chart, true)};
  std::string svg =
      "<svg viewBox=\"0 0 360 216\" role=\"img\" aria-label=\"" + escape_html(chart.title) + "\"";
  if (use == SvgUse::own_file) svg += " xmlns=\"http://www.w3.org/2000/svg\"";
  svg += ">";
  if (use == SvgUse::own_file) svg += own_style();
  svg += axes(chart, frame);
  for (size_t i = 0; i < chart.curves.size(); ++i) {
    const Curve& curve = chart.curves[i];
    std::string colour = " c" + std::to_string(i % kColours.size()) + "\" d=\"";
    bool busy = curve.x.size() > 2 * kCalmPoints;
    if (busy)
      svg +=
          "<path class=\"curve faint" + colour + path_of(chart, frame, thinned(curve, kFinePoints)) + "\"/>";
    Curve main = busy ? thinned(curve, kCalmPoints) : curve;
    svg += "<path class=\"curve" + colour + path_of(chart, frame, main) + "\"><title>" +
           escape_html(curve.name) + "</title></path>";
  }
  return svg + "</svg>";
}

}  // namespace plumage
