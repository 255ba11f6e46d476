#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

namespace plumage {

namespace {
double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}
}  // namespace

std::string duration_text(double seconds) {
  char text[64];
  if (seconds < 60) std::snprintf(text, sizeof text, "%.0f s", seconds);
  else if (seconds < 3600) std::snprintf(text, sizeof text, "%d min %02d s", int(seconds) / 60, int(seconds) % 60);
  else std::snprintf(text, sizeof text, "%d h %02d min", int(seconds) / 3600, int(seconds) / 60 % 60);
  return text;
}

Progress::Progress(std::string what, int64_t total, int64_t done)
    : what_(std::move(what)), total_(total), first_(done), terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()), printed_(start_) {}

Progress::~Progress() {
  if (open_) std::fputc('\n', stderr);
}

void Progress::update(int64_t done, const std::string& text) {
  if (seconds_since(printed_) < (terminal_ ? 0.1 : 10)) return;
  print(done, text, false);
}

void Progress::finish(const std::string& text) {
  if (finished_) return;
  print(total_, text, true);
  finished_ = true;
}

void Progress::print(int64_t done, const std::string& text, bool last) {
  printed_ = std::chrono::steady_clock::now();
  double elapsed = seconds_since(start_), share = total_ > 0 ? double(done) / double(total_) : 0;
  std::string line = what_ + "  ";
  if (terminal_ && !last && total_ > 0) {
    constexpr int kWidth = 24;
    int filled = int(share * kWidth);
    for (int i = 0; i < kWidth; ++i) line += i < filled ? "\u2588" : "\u2591";
    line += "  ";
  }
  if (!last && total_ > 0) line += std::to_string(done) + "/" + std::to_string(total_);
  if (last) line += duration_text(elapsed);
  else if (done > first_ && total_ > 0)
    line += "  " + duration_text(elapsed / double(done - first_) * double(total_ - done)) + " left";
  if (!text.empty()) line += "  " + text;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    open_ = true;
    if (last) {
      std::fputc('\n', stderr);
      open_ = false;
    }
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

}  // namespace plumage
