// Names and arguments as Python's pickletools lists them.
#include "nn/weights/pickle_opcodes.h"

#include <algorithm>
#include <array>

#include "tensor/errors.h"

namespace plumage {

namespace {

constexpr int64_t kLongestLine = 4096;

constexpr auto kOpcodes = [] {
  using enum PickleArgument;
  std::array<PickleOpcode, 256> table{};
  for (PickleOpcode& opcode : table) opcode = {"?", unknown, 0};
  auto set = [&](int byte, const char* name, PickleArgument argument = none, int size = 0) {
    table[size_t(byte)] = {name, argument, size};
  };
  set('(', "MARK"), set('.', "STOP"), set('0', "POP"), set('1', "POP_MARK"), set('2', "DUP");
  set('N', "NONE"), set(0x88, "NEWTRUE"), set(0x89, "NEWFALSE");
  set('I', "INT", line), set('L', "LONG", line), set('F', "FLOAT", line);
  set('J', "BININT", fixed, 4), set('K', "BININT1", fixed, 1), set('M', "BININT2", fixed, 2);
  set('G', "BINFLOAT", fixed, 8), set(0x8a, "LONG1", counted, 1), set(0x8b, "LONG4", counted, 4);
  set('S', "STRING", line), set('T', "BINSTRING", counted, 4), set('U', "SHORT_BINSTRING", counted, 1);
  set('V', "UNICODE", line), set('X', "BINUNICODE", counted, 4), set(0x8c, "SHORT_BINUNICODE", counted, 1);
  set(0x8d, "BINUNICODE8", counted, 8), set('B', "BINBYTES", counted, 4);
  set('C', "SHORT_BINBYTES", counted, 1), set(0x8e, "BINBYTES8", counted, 8);
  set(0x96, "BYTEARRAY8", counted, 8), set(0x97, "NEXT_BUFFER"), set(0x98, "READONLY_BUFFER");
  set(')', "EMPTY_TUPLE"), set('t', "TUPLE"), set(0x85, "TUPLE1"), set(0x86, "TUPLE2"), set(0x87, "TUPLE3");
  set(']', "EMPTY_LIST"), set('l', "LIST"), set('a', "APPEND"), set('e', "APPENDS");
  set('}', "EMPTY_DICT"), set('d', "DICT"), set('s', "SETITEM"), set('u', "SETITEMS");
  set(0x8f, "EMPTY_SET"), set(0x90, "ADDITEMS"), set(0x91, "FROZENSET");
  set('c', "GLOBAL", two_lines), set(0x93, "STACK_GLOBAL"), set('i', "INST", two_lines), set('o', "OBJ");
  set('R', "REDUCE"), set(0x81, "NEWOBJ"), set(0x92, "NEWOBJ_EX"), set('b', "BUILD");
  set('P', "PERSID", line), set('Q', "BINPERSID");
  set('g', "GET", line), set('h', "BINGET", fixed, 1), set('j', "LONG_BINGET", fixed, 4);
  set('p', "PUT", line), set('q', "BINPUT", fixed, 1), set('r', "LONG_BINPUT", fixed, 4),
      set(0x94, "MEMOIZE");
  set(0x80, "PROTO", fixed, 1), set(0x95, "FRAME", fixed, 8);
  set(0x82, "EXT1", fixed, 1), set(0x83, "EXT2", fixed, 2), set(0x84, "EXT4", fixed, 4);
  return table;
}();

}  // namespace

const PickleOpcode& pickle_opcode(uint8_t byte) { return kOpcodes[byte]; }

PickleStep PickleScanner::next() {
  PickleStep step;
  step.at = position_;
  step.byte = byte();
  const PickleOpcode& opcode = kOpcodes[step.byte];
  step.begin = position_;
  switch (opcode.argument) {
    case PickleArgument::unknown:
      file_.refuse(message("byte ", step.at, " (", int(step.byte),
                           ") is no pickle opcode; not a PyTorch file, or damaged"));
    case PickleArgument::none:
      break;
    case PickleArgument::fixed:
      step.number = number(opcode.size);
      break;
    case PickleArgument::counted: {
      uint64_t count = number(opcode.size);
      step.begin = position_;
      if (count > uint64_t(file_.size() - position_))
        file_.refuse(
            message("its pickle claims ", count, " bytes at byte ", position_, ", more than the file has"));
      position_ += int64_t(count);
      break;
    }
    case PickleArgument::line:
      line();
      step.end = position_ - 1;
      return step;
    case PickleArgument::two_lines:
      step.module = line();
      step.name = line();
      break;
  }
  step.end = position_;
  return step;
}

uint8_t PickleScanner::byte() {
  if (position_ >= file_.size()) file_.refuse("its pickle breaks off: truncated; download or copy it again");
  if (position_ < buffer_begin_ || position_ >= buffer_begin_ + int64_t(buffer_.size())) {
    buffer_begin_ = position_;
    buffer_.resize(size_t(std::min(kBuffer, file_.size() - position_)));
    file_.read(position_, buffer_.data(), int64_t(buffer_.size()));
  }
  return uint8_t(buffer_[size_t(position_++ - buffer_begin_)]);
}

uint64_t PickleScanner::number(int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= uint64_t(byte()) << (8 * i);
  return value;
}

std::string PickleScanner::line() {
  std::string text;
  for (char c; (c = char(byte())) != '\n';) {
    if (int64_t(text.size()) >= kLongestLine) file_.refuse("its pickle holds a line without an end");
    text += c;
  }
  return text;
}

}  // namespace plumage
