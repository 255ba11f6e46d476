// How far a run is, on standard error: a bar on a terminal, a plain line now and then elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace plumage {

class Progress {
 public:
  /// total: units of work, 0 if unknown.
  Progress(std::string what, int64_t total, int64_t done = 0);
  ~Progress();  ///< ends the line
  /// done: units so far. text: what else to say ("loss 5.21, 431 images/s").
  void update(int64_t done, const std::string& text = {});
  void finish(const std::string& text = {});

 private:
  void print(int64_t done, const std::string& text, bool last);
  std::string what_;
  int64_t total_, first_;
  bool terminal_, open_ = false, finished_ = false;
  std::chrono::steady_clock::time_point start_, printed_;
};

/// "1 min 05 s"
std::string duration_text(double seconds);

}  // namespace plumage
