// Stands in for CUB's header of this name: what of it plumage uses. Next: tests/cuda_sim/library_call.h.
#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/cuda_sim/library_call.h"

namespace cub {

struct DeviceSegmentedRadixSort {
  /// Each segment's pairs by the keys' bits from begin_bit on, stable. The first call, without `work`, only says how much
  /// it needs. Nothing that is written may overlap with anything else.
  template <class Key, class Value, class Begin, class End>
  static cudaError_t SortPairs(void* work, size_t& work_bytes, const Key* keys, Key* sorted_keys, const Value* values,
                               Value* sorted_values, int items, int segments, Begin begins, End ends, int begin_bit = 0,
                               int end_bit = 8 * sizeof(Key), cudaStream_t stream = nullptr) {
    static_assert(std::is_unsigned_v<Key>, "other keys are not needed here");
    const char* name = "DeviceSegmentedRadixSort::SortPairs";
    size_t needed = 1024 + static_cast<size_t>(items) * (sizeof(Key) + sizeof(Value));  // the real one needs less
    if (!work) {
      work_bytes = needed;
      return cudaSuccess;
    }
    if (work_bytes < needed || begin_bit < 0 || end_bit > static_cast<int>(8 * sizeof(Key)) || begin_bit > end_bit || items < 0)
      return cudaErrorInvalidValue;
    if (items == 0 || segments == 0) return cudaSuccess;
    return cuda_sim::library_call(stream, [=] {
      size_t n = static_cast<size_t>(items);
      cuda_sim::library_reads(name, "keys", keys, n * sizeof(Key));
      cuda_sim::library_reads(name, "values", values, n * sizeof(Value));
      cuda_sim::library_reads(name, "offsets", begins, static_cast<size_t>(segments) * sizeof *begins);
      cuda_sim::library_reads(name, "offsets", ends, static_cast<size_t>(segments) * sizeof *ends);
      std::vector<Key> all_keys(keys, keys + n);
      std::vector<Value> all_values(values, values + n);
      std::vector<std::pair<size_t, size_t>> ranges;
      for (int s = 0; s < segments; ++s) {
        if (begins[s] < 0 || ends[s] > items) cuda_sim::fail("%s: segment %d is not inside %d items", name, s, items);
        if (begins[s] < ends[s]) ranges.emplace_back(begins[s], ends[s]);
      }
      cuda_sim::scribble(name, work, work_bytes);
      cuda_sim::library_writes(name, "sorted keys", sorted_keys, n * sizeof(Key));
      cuda_sim::library_writes(name, "sorted values", sorted_values, n * sizeof(Value));
      auto bits = [&](size_t i) {
        Key shifted = begin_bit < static_cast<int>(8 * sizeof(Key)) ? static_cast<Key>(all_keys[i] >> begin_bit) : Key(0);
        int width = end_bit - begin_bit;
        return width < static_cast<int>(8 * sizeof(Key)) ? static_cast<Key>(shifted & ((Key(1) << width) - 1)) : shifted;
      };
      for (auto [first, last] : ranges) {
        std::vector<size_t> order(last - first);
        std::iota(order.begin(), order.end(), first);
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bits(a) < bits(b); });
        for (size_t i = 0; i < order.size(); ++i) {
          sorted_keys[first + i] = all_keys[order[i]];
          sorted_values[first + i] = all_values[order[i]];
        }
      }
    });
  }
};

}  // namespace cub
