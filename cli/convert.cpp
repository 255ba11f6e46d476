// plumage convert: any file of weights to safetensors, names and numbers as they are.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "nn/weights/safetensors.h"
#include "nn/weights/weights_file.h"

namespace plumage {

namespace {

void run(const std::string& in, const std::string& out, bool all) {
  if (!out.ends_with(".safetensors"))
    throw InputError(out + ": convert writes safetensors; give a name that ends in .safetensors");
  WeightsFile file{in};
  const WeightsIndex& index = file.index();
  std::vector<TensorBytes> tensors;
  std::string state = all && !index.state.empty() ? index.state + "." : "";
  for (const StoredTensor& tensor : index.tensors)
    tensors.push_back({state + tensor.name, tensor.type, tensor.shape, file.read_bytes(tensor)});
  if (all)
    for (const StoredTensor& tensor : index.others)
      tensors.push_back({tensor.name, tensor.type, tensor.shape, file.read_bytes(tensor)});
  auto metadata = index.metadata;
  metadata.emplace("format", "pt");  // the order of convolution weights; some readers insist on it
  write_safetensors(out, tensors, metadata);
  std::cerr << out << ": " << tensors.size() << " tensors";
  if (!all && !index.others.empty())
    std::cerr << "; " << index.others.size() << " beside " << index.state << " left out ("
              << index.others[0].name << ", ..): --all keeps them";
  std::cerr << '\n';
}

}  // namespace

void add_convert(CLI::App& program) {
  auto* command =
      program.add_subcommand("convert", "a file of weights as safetensors, names and numbers as they are");
  command->footer("Example: plumage convert moco_v2_800ep_pretrain.pth.tar moco.safetensors");
  auto in = std::make_shared<std::string>(), out = std::make_shared<std::string>();
  auto all = std::make_shared<bool>(false);
  command->add_option("in", *in, "safetensors, or PyTorch's .pth, .pt, .th, .tar")->required();
  command->add_option("out", *out, "FILE.safetensors")->required();
  command->add_flag(
      "--all", *all,
      "also what stands beside the state dictionary (optimiser, ..), under its path in the file");
  command->callback([=] { run(*in, *out, *all); });
}

}  // namespace plumage
