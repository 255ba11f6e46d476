// Protocol Buffers' wire format, as far as writing an ONNX model takes: a message is a text of tagged fields.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace plumage {

class ProtobufMessage {
 public:
  ProtobufMessage& number(int field, uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  ProtobufMessage& real(int field, float value) {
    tag(field, 5);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  ProtobufMessage& text(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(int field, const ProtobufMessage& value) { return text(field, value.bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  void tag(int field, int wire_type) { varint(uint64_t(field) << 3 | uint64_t(wire_type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += char(value | 0x80);
    bytes_ += char(value);
  }
  std::string bytes_;
};

}  // namespace plumage
