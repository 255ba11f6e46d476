// The opcodes of pickle protocols 0 to 5 and what follows each in the stream, so that any of them can be
// named and stepped over. Which of them are carried out is nn/weights/pickle.cpp's choice.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "nn/weights/input_file.h"

namespace plumage {

/// What follows an opcode.
enum class PickleArgument : uint8_t {
  unknown,  ///< no such opcode
  none,
  fixed,      ///< `size` bytes
  counted,    ///< a little-endian count of `size` bytes, then so many
  line,       ///< up to a newline
  two_lines,  ///< a module and a name
};

struct PickleOpcode {
  const char* name;
  PickleArgument argument;
  int size;
};
const PickleOpcode& pickle_opcode(uint8_t byte);

/// One opcode with its argument.
struct PickleStep {
  uint8_t byte = 0;
  int64_t at = 0;  ///< in the file
  int64_t
      begin = 0,
      end = 0;  ///< the argument's bytes in the file: what is counted, not the count; a line without its end
  uint64_t number = 0;       ///< a fixed argument of up to 8 bytes, little-endian
  std::string module, name;  ///< of two lines
};

/// Opcode after opcode from a position in a file on. Every length is checked against the file before it is
/// believed.
class PickleScanner {
 public:
  PickleScanner(const InputFile& file, int64_t begin) : file_(file), position_(begin) {}
  /// Throws InputError naming the file where it ends, or at a byte that is no opcode.
  PickleStep next();
  int64_t position() const { return position_; }

 private:
  uint8_t byte();
  uint64_t number(int bytes);
  std::string line();

  static constexpr int64_t kBuffer = 1 << 16;
  const InputFile& file_;
  int64_t position_, buffer_begin_ = 0;
  std::vector<char> buffer_;
};

}  // namespace plumage
