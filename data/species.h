// The kinds of synthetic birds: five small marks decide the class, nothing else does.
// Next in the walk: data/synthetic.h, which draws and renders them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumage {

enum class Breast { plain, band, spots };

/// One of 72 combinations of marks.
struct Species {
  int bars = 0;  ///< on the wing: 0, 1 or 2
  bool eye_line = false;
  Breast breast = Breast::plain;
  bool tail_tip = false;
  bool cap = false;

  bool operator==(const Species&) const = default;
  /// Such as "two-bars.eye-line.band" or "unmarked": fit for a folder.
  std::string name() const;
};

/// How many of the five marks differ.
int hamming(const Species& a, const Species& b);

/// All 72, in a fixed order.
std::vector<Species> all_species();

/// `count` species, any two at least `distance` marks apart, none of them in `taken` (so that a base and a
/// target do not share any); a function of its arguments. InputError where that many are not to be found.
std::vector<Species> choose_species(int64_t count, int64_t distance, uint64_t seed,
                                    const std::vector<Species>& taken = {});

}  // namespace plumage
