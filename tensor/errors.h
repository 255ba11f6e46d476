// What can go wrong, in types. A message is one line: what is wrong, which file, key or shape, what to do.
// The program prints it after `plumage: ` and exits with `exit_code()`. Next in the walk: tensor/shape.h.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace plumage {

/// Base of all errors that plumage throws on purpose.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
  /// 2: the user's mistake (input, configuration, shape). 1: the machine's (disk full, out of memory).
  virtual int exit_code() const { return 2; }
};

struct ShapeError : Error { using Error::Error; };   ///< sizes that do not fit each other
struct DTypeError : Error { using Error::Error; };   ///< element types that an op does not take
struct DeviceError : Error { using Error::Error; };  ///< tensors on different devices, or a device that is absent
struct InputError : Error { using Error::Error; };   ///< a file, folder, key or option that cannot be used

/// Disk full, out of memory, a broken numeric state: not the user's mistake.
struct MachineError : Error {
  using Error::Error;
  int exit_code() const override { return 1; }
};

/// Glues its arguments into one string: message("conv2d: w has C=", 3).
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace plumage
