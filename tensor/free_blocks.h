// Free memory, by address and by size. For tensor/allocator.cpp alone.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace plumage {

/// Blocks that no one uses. Where neighbours may be joined, any part of a block can be handed out, the smallest that is large
/// enough first, the lowest of these; elsewhere only blocks of the very size.
class FreeBlocks {
 public:
  void* take(int64_t size, bool parts) {
    auto found = by_size_.lower_bound({size, nullptr});
    if (found == by_size_.end() || (!parts && found->first != size)) return nullptr;
    auto [whole, block] = *found;
    by_size_.erase(found);
    by_address_.erase(block);
    if (whole > size) insert(block + size, whole - size);
    return block;
  }
  void put(void* at, int64_t size, bool join) {
    char* block = static_cast<char*>(at);
    auto after = by_address_.lower_bound(block);
    if (join && after != by_address_.end() && after->first == block + size) {
      size += after->second;
      after = erase(after);
    }
    if (join && after != by_address_.begin()) {
      auto before = std::prev(after);
      if (before->first + before->second == block) {
        block = before->first;
        size += before->second;
        erase(before);
      }
    }
    insert(block, size);
  }
  /// f(block, size) for all, which leaves none.
  template <class F>
  void drain(F&& f) {
    auto all = std::move(by_address_);
    by_address_.clear();
    by_size_.clear();
    for (auto [block, size] : all) f(block, size);
  }

 private:
  using ByAddress = std::map<char*, int64_t>;
  void insert(char* block, int64_t size) {
    by_address_[block] = size;
    by_size_.insert({size, block});
  }
  ByAddress::iterator erase(ByAddress::iterator i) {
    by_size_.erase({i->second, i->first});
    return by_address_.erase(i);
  }
  ByAddress by_address_;
  std::set<std::pair<int64_t, char*>> by_size_;
};

/// Small blocks apart from large ones: one that lives long would keep the neighbours of its place from being joined.
class FreeMemory {
 public:
  static constexpr int64_t kLarge = int64_t(1) << 20;
  static bool is_large(int64_t size) { return size >= kLarge; }  ///< size: of one request
  FreeBlocks& among(bool large) { return large ? large_ : small_; }
  /// f(block, size, large) for all, which leaves none.
  template <class F>
  void drain(F&& f) {
    for (bool large : {false, true})
      among(large).drain([&](void* block, int64_t size) { f(block, size, large); });
  }

 private:
  FreeBlocks small_, large_;
};

}  // namespace plumage
