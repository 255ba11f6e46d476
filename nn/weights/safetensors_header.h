// The JSON header of a safetensors file, as text and as a list. Checked for form only;
// nn/weights/safetensors.cpp checks it against the file.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace plumage {

struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  ///< bytes from the end of the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// Throws InputError naming `file`: not JSON, a name twice, a field missing, negative or of the wrong type.
SafetensorsHeader parse_safetensors_header(const std::string& text, const std::string& file);

/// Throws InputError if a name or a metadata text is not UTF-8, or a tensor is named __metadata__.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace plumage
