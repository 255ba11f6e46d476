#include "tensor/free_blocks.h"

#include <doctest/doctest.h>

#include <vector>

using namespace plumage;

namespace {
char memory[100];
void* at(int i) { return memory + i; }

std::vector<std::pair<int, int64_t>> drained(FreeBlocks& blocks) {
  std::vector<std::pair<int, int64_t>> all;
  blocks.drain([&](void* block, int64_t size) { all.push_back({int(static_cast<char*>(block) - memory), size}); });
  return all;
}
using Places = std::vector<std::pair<int, int64_t>>;
}  // namespace

TEST_CASE("free blocks: the smallest that is large enough, of these the lowest; its rest stays") {
  FreeBlocks blocks;
  blocks.put(at(50), 20, true);
  blocks.put(at(10), 8, true);
  blocks.put(at(30), 8, true);
  blocks.put(at(80), 4, true);
  CHECK(blocks.take(5, true) == at(10));
  CHECK(blocks.take(8, true) == at(30));
  CHECK(blocks.take(9, true) == at(50));
  CHECK(blocks.take(12, true) == nullptr);
  CHECK(drained(blocks) == Places{{15, 3}, {59, 11}, {80, 4}});
  CHECK(drained(blocks).empty());
}

TEST_CASE("free blocks: neighbours become one, whichever comes last") {
  for (std::vector<int> order : {std::vector{0, 1, 2}, {0, 2, 1}, {1, 2, 0}, {2, 1, 0}}) {
    FreeBlocks blocks;
    for (int i : order) blocks.put(at(20 + 10 * i), 10, true);
    blocks.put(at(51), 9, true);  // a byte between
    CHECK(drained(blocks) == Places{{20, 30}, {51, 9}});
  }
}

TEST_CASE("free blocks: where they may not be joined, blocks keep their size") {
  FreeBlocks blocks;
  blocks.put(at(0), 10, false);
  blocks.put(at(10), 10, false);
  CHECK(blocks.take(20, false) == nullptr);
  CHECK(blocks.take(5, false) == nullptr);
  CHECK(blocks.take(10, false) == at(0));
  CHECK(drained(blocks) == Places{{10, 10}});
}

TEST_CASE("free memory: small blocks stay apart from large ones") {
  CHECK(!FreeMemory::is_large(FreeMemory::kLarge - 1));
  CHECK(FreeMemory::is_large(FreeMemory::kLarge));
  FreeMemory blocks;
  blocks.among(false).put(at(0), 10, true);
  blocks.among(true).put(at(10), 10, true);
  Places small, large;
  blocks.drain([&](void* block, int64_t size, bool is_large) {
    (is_large ? large : small).push_back({int(static_cast<char*>(block) - memory), size});
  });
  CHECK(small == Places{{0, 10}});
  CHECK(large == Places{{10, 10}});
  CHECK(drained(blocks.among(false)).empty());
  CHECK(drained(blocks.among(true)).empty());
}
