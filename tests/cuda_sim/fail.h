// How the simulator stops a program that a device would run wrongly: one line, then abort.
#pragma once

namespace cuda_sim {

/// Prints `cuda_sim: kernel K, block (x,y,z), thread (x,y,z): ...` (the place as far as it is known) and
/// aborts.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Name of the function at an address, from the program's own symbol table; its address where there is none.
/// The pointer stays valid.
const char* function_name(const void* address);

}  // namespace cuda_sim
