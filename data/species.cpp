// Names and choices of species. Next in the walk: data/synthetic.cpp.
#include "data/species.h"

#include <algorithm>
#include <array>

#include "tensor/errors.h"
#include "tensor/philox.h"

namespace plumage {

std::string Species::name() const {
  std::string out;
  auto add = [&](const char* mark) { out += (out.empty() ? "" : ".") + std::string(mark); };
  if (bars) add(bars == 1 ? "one-bar" : "two-bars");
  if (eye_line) add("eye-line");
  if (breast != Breast::plain) add(breast == Breast::band ? "band" : "spots");
  if (tail_tip) add("tail-tip");
  if (cap) add("cap");
  return out.empty() ? "unmarked" : out;
}

int hamming(const Species& a, const Species& b) {
  return (a.bars != b.bars) + (a.eye_line != b.eye_line) + (a.breast != b.breast) +
         (a.tail_tip != b.tail_tip) + (a.cap != b.cap);
}

std::vector<Species> all_species() {
  std::vector<Species> out;
  for (int bars : {0, 1, 2})
    for (bool eye_line : {false, true})
      for (Breast breast : {Breast::plain, Breast::band, Breast::spots})
        for (bool tail_tip : {false, true})
          for (bool cap : {false, true}) out.push_back({bars, eye_line, breast, tail_tip, cap});
  return out;
}

std::vector<Species> choose_species(int64_t count, int64_t distance, uint64_t seed,
                                    const std::vector<Species>& taken) {
  constexpr uint64_t kShuffles = 500;
  std::vector<Species> pool;
  for (const Species& species : all_species())
    if (std::find(taken.begin(), taken.end(), species) == taken.end()) pool.push_back(species);
  if (count < 1 || count > int64_t(pool.size()))
    throw InputError(message("synthetic: ", count, " species asked for; there are 1 to ", pool.size(),
                             " to choose from", taken.empty() ? "" : " beside those taken"));
  for (uint64_t shuffle = 0; shuffle < kShuffles; ++shuffle) {  // take greedily, in random orders
    PhiloxStream stream({seed, Purpose::synthetic, shuffle}, uint64_t(1) << 60);
    std::vector<Species> order = pool, chosen;
    for (int64_t i = int64_t(order.size()) - 1; i > 0; --i)
      std::swap(order[size_t(i)], order[size_t(stream.integer(i + 1))]);
    for (const Species& species : order) {
      bool far = std::all_of(chosen.begin(), chosen.end(),
                             [&](const Species& other) { return hamming(species, other) >= distance; });
      if (far && int64_t(chosen.size()) < count) chosen.push_back(species);
    }
    if (int64_t(chosen.size()) == count) return chosen;
  }
  throw InputError(message("synthetic: ", count, " species that differ in ", distance,
                           " of five marks were not found; ask for fewer or for a smaller difference"));
}

}  // namespace plumage
