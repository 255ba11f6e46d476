// plumage inspect: what a file of weights holds, whoever wrote it.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "nn/weights/encoder_file.h"

namespace plumage {

namespace {

using Json = nlohmann::ordered_json;

struct NotFinite {
  int64_t nan = 0, inf = 0;
};

/// An IEEE number is not finite if its exponent is all ones, and NaN if its fraction is not 0 then.
template <class Bits>
NotFinite count_not_finite(const Tensor& bytes, Bits exponent, Bits fraction) {
  NotFinite count;
  const auto* numbers = static_cast<const Bits*>(bytes.raw());
  for (int64_t i = 0; i < bytes.count() / int64_t(sizeof(Bits)); ++i) {
    if ((numbers[i] & exponent) != exponent) continue;
    ++((numbers[i] & fraction) ? count.nan : count.inf);
  }
  return count;
}

NotFinite count_not_finite(const WeightsFile& file, const StoredTensor& tensor) {
  switch (tensor.type) {
    case StoredType::f64:
      return count_not_finite<uint64_t>(file.read_bytes(tensor), 0x7ff0000000000000u, 0x000fffffffffffffu);
    case StoredType::f32:
      return count_not_finite<uint32_t>(file.read_bytes(tensor), 0x7f800000u, 0x007fffffu);
    case StoredType::f16:
      return count_not_finite<uint16_t>(file.read_bytes(tensor), 0x7c00, 0x03ff);
    case StoredType::bf16:
      return count_not_finite<uint16_t>(file.read_bytes(tensor), 0x7f80, 0x007f);
    default:
      return {};
  }
}

Json list(const WeightsFile& file, const std::vector<StoredTensor>& tensors) {
  Json all = Json::array();
  for (const StoredTensor& tensor : tensors) {
    NotFinite odd = count_not_finite(file, tensor);
    all.push_back({{"name", tensor.name},
                   {"shape", tensor.shape},
                   {"dtype", name_of(tensor.type)},
                   {"nan", odd.nan},
                   {"inf", odd.inf}});
  }
  return all;
}

Json report(const WeightsFile& file) {
  const WeightsIndex& index = file.index();
  Json out = {{"file", file.name()}, {"container", index.container}, {"state", index.state}};
  try {
    EncoderInFile found = find_encoder(index, file.name());
    const ResNetOptions& options = found.options;
    out["encoder"] = {{"arch", options.arch},
                      {"width", options.width},
                      {"stem", options.stem == Stem::small ? "small" : "imagenet"},
                      {"prefix", found.prefix}};
  } catch (const InputError&) {
    out["encoder"] = nullptr;
  }
  out["metadata"] = index.metadata;
  out["tensors"] = list(file, index.tensors);
  out["others"] = list(file, index.others);
  return out;
}

// The same for people.
void print(const Json& out) {
  auto text = [](const Json& value) {  // one line, whatever the file holds; a name without its quotes
    std::string line = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return value.is_string() ? line.substr(1, line.size() - 2) : line;
  };
  std::cout << "container  " << out["container"].get<std::string>() << '\n';
  if (out["state"] != "") std::cout << "state      " << out["state"].get<std::string>() << '\n';
  std::cout << "encoder    ";
  if (const Json& e = out["encoder"]; e.is_null())
    std::cout << "no ResNet-18, 34 or 50 found\n";
  else
    std::cout << e["arch"].get<std::string>() << ", width " << e["width"] << ", stem "
              << e["stem"].get<std::string>() << ", prefix '" << text(e["prefix"]) << "'\n";
  for (const char* part : {"tensors", "others"}) {
    if (out[part].empty()) continue;
    std::cout << part << "  " << out[part].size() << '\n';
    for (const Json& tensor : out[part]) {
      std::cout << "  " << text(tensor["name"]) << ' ' << text(tensor["shape"]) << ' '
                << tensor["dtype"].get<std::string>();
      if (tensor["nan"] != 0 || tensor["inf"] != 0)
        std::cout << "  not finite: " << tensor["nan"] << " nan, " << tensor["inf"] << " inf";
      std::cout << '\n';
    }
  }
}

}  // namespace

void add_inspect(CLI::App& program) {
  auto* command = program.add_subcommand(
      "inspect", "what a file of weights holds: safetensors, or PyTorch's in either container");
  command->footer("Example: plumage inspect moco_v2_800ep_pretrain.pth.tar");
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command->add_option("file", *name, "the file")->required();
  command->add_flag("--json", *json, "one JSON object on standard output");
  command->callback([name, json] {
    Json out = report(WeightsFile(*name));
    if (*json)
      std::cout << out.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    else
      print(out);
  });
}

}  // namespace plumage
