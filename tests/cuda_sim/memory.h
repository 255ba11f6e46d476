// Device memory and pinned memory. Device memory cannot be touched while the host runs; every allocation
// begins with NaN, has unreadable pages on either side, and is found again by its address. Next: stream.h.
#pragma once
#include <cstddef>

namespace cuda_sim {

enum class Where { pageable, pinned, device };
Where where(const void* pointer);
/// Do `bytes` from here lie in one live allocation of the device?
bool in_one_allocation(const void* pointer, size_t bytes);

void* allocate_device(size_t bytes);  ///< aligned to 256 bytes; null where the limit is reached
bool free_device(void* pointer);      ///< false: no such allocation
void* allocate_pinned(size_t bytes);
bool free_pinned(void* pointer);

/// While one lives, the device runs: its memory can be touched.
class DeviceRuns {
 public:
  DeviceRuns();
  ~DeviceRuns();
  DeviceRuns(const DeviceRuns&) = delete;
};

/// A host function in a stream: device memory is closed to it again.
class HostRuns {
 public:
  HostRuns();
  ~HostRuns();
  HostRuns(const HostRuns&) = delete;
};

/// Prints what was not freed; how many lines.
int report_memory();

}  // namespace cuda_sim
