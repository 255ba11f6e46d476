// A number for many bytes, to notice accidents by: files that are the same, a cache that was damaged. No protection
// against somebody who wants two files to agree.
#pragma once
#include <cstdint>
#include <span>

namespace plumage {

/// 64 bits of `bytes`, in which each byte and its place count; the same on every little-endian machine.
uint64_t checksum(std::span<const uint8_t> bytes, uint64_t seed = 0);

}  // namespace plumage
