// The header is read as a stream of events, not as a tree: its memory is that of what it describes, however
// deep a hostile header nests.
#include "nn/weights/safetensors_header.h"

#include <nlohmann/json.hpp>

#include <set>

#include "tensor/errors.h"

namespace plumage {

namespace {

using Json = nlohmann::json;

constexpr const char* kMetadata = "__metadata__";

/// Takes the parser's events: {NAME: {"dtype": "..", "shape": [..], "data_offsets": [b, e]}, "__metadata__":
/// {K: V}}.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(size_t) override {
    if (depth_ == 0 || (depth_ == 1 && !in_array_))
      ++depth_;
    else
      refuse("an object stands where none belongs");
    return true;
  }
  bool key(std::string& key) override {
    if (depth_ == 1) {
      if (!names_.insert(key).second) refuse("the name " + key + " stands there twice");
      name_ = key;
      if (name_ != kMetadata) header_.entries.push_back({key, "", {}, 0, 0});
      has_shape_ = false;
      offsets_.clear();
      fields_.clear();
    } else if (!fields_.insert(key).second) {
      refuse(name_ + " has the key " + key + " twice");
    }
    field_ = key;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && name_ != kMetadata) {
      SafetensorsEntry& entry = header_.entries.back();
      if (entry.dtype.empty() || !has_shape_ || offsets_.size() != 2)
        refuse("tensor " + name_ + " lacks its dtype, shape or two data_offsets");
      entry.begin = offsets_[0];
      entry.end = offsets_[1];
    }
    return true;
  }
  bool start_array(size_t) override {
    bool known =
        depth_ == 2 && !in_array_ && name_ != kMetadata && (field_ == "shape" || field_ == "data_offsets");
    if (!known) refuse("a list stands where none belongs");
    in_array_ = true;
    has_shape_ |= field_ == "shape";
    return true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (!in_array_) return refuse("a number stands where none belongs");
    if (value > uint64_t(INT64_MAX)) return refuse("tensor " + name_ + " has a number that is too large");
    auto& list = field_ == "shape" ? header_.entries.back().shape : offsets_;
    list.push_back(int64_t(value));
    // More than any use; a list of millions would only cost memory.
    if (list.size() > 64) return refuse("tensor " + name_ + " has too many numbers");
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ == 2 && name_ == kMetadata)
      header_.metadata[field_] = value;
    else if (depth_ == 2 && !in_array_ && field_ == "dtype")
      header_.entries.back().dtype = value;
    else
      return refuse("a text stands where none belongs");
    return true;
  }
  bool null() override { return refuse("a null stands where none belongs"); }
  bool boolean(bool) override { return refuse("a boolean stands where none belongs"); }
  bool number_integer(int64_t) override { return refuse("tensor " + name_ + " has a negative number"); }
  bool number_float(double, const std::string&) override {
    return refuse("tensor " + name_ + " has a broken number");
  }
  bool binary(Json::binary_t&) override { return refuse("binary data"); }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return refuse(message("it is not JSON at byte ", position));
  }

 private:
  bool refuse(const std::string& why) { throw InputError(message(file_, ": bad safetensors header: ", why)); }

  std::string file_;
  SafetensorsHeader header_;
  std::set<std::string> names_, fields_;
  std::string name_, field_;
  std::vector<int64_t> offsets_;
  int depth_ = 0;
  bool in_array_ = false, has_shape_ = false;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(const std::string& text, const std::string& file) {
  if (text.empty() || text[0] != '{')
    throw InputError(file + ": bad safetensors header: it does not begin with {");
  HeaderReader reader(file);
  Json::sax_parse(text, &reader);
  return reader.take();
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  Json json = Json::object();
  if (!header.metadata.empty()) json[kMetadata] = header.metadata;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.name == kMetadata) throw InputError("safetensors: a tensor cannot be named __metadata__");
    json[entry.name] = {
        {"dtype", entry.dtype}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  try {
    return json.dump();
  } catch (const Json::exception&) {
    throw InputError("safetensors: a name or a metadata text is not UTF-8");
  }
}

}  // namespace plumage
