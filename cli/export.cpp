// plumage export: an encoder for other programs, as safetensors or ONNX.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "cli/load_encoder.h"
#include "nn/weights/onnx.h"
#include "nn/weights/safetensors.h"

namespace plumage {

namespace {

// torchvision's state dictionary of the network without `fc`, the counts of batches (unknown: 0) included.
void write_torchvision(const std::string& out, const LoadedEncoder& loaded) {
  TensorFile file;
  store_state(*loaded.encoder, "", file.tensors);
  std::vector<std::string> norms;
  for (const auto& [name, tensor] : file.tensors)
    if (name.ends_with("running_var")) norms.push_back(name.substr(0, name.size() - 11));
  for (const std::string& norm : norms)
    file.tensors[norm + "num_batches_tracked"] = Tensor::zeros({}, DType::i64);
  file.metadata = {{"format", "pt"}, {"arch", loaded.options.arch}};
  write_safetensors(out, file);
}

void run(const WeightsArguments& weights, const std::string& out) {
  bool onnx = out.ends_with(".onnx");
  if (!onnx && !out.ends_with(".safetensors"))
    throw InputError(out + ": export writes FILE.safetensors or FILE.onnx; the name ends in neither");
  LoadedEncoder loaded = load_encoder(weights);
  if (onnx)
    write_onnx(out, *loaded.encoder);
  else
    write_torchvision(out, loaded);
  std::cerr << out << ": " << loaded.options.arch << ", " << loaded.encoder->feature_count() << " features"
            << (onnx ? "; input `images` [batch, 3, height, width], output `features`" : "") << '\n';
}

}  // namespace

void add_export(CLI::App& program) {
  auto* command = program.add_subcommand(
      "export", "an encoder for other programs: torchvision's names as safetensors, or ONNX");
  command->footer(
      "Example: plumage export runs/birds/checkpoint.safetensors encoder.safetensors\n"
      "         plumage export runs/birds/checkpoint.safetensors encoder.onnx");
  auto weights = std::make_shared<WeightsArguments>();
  auto out = std::make_shared<std::string>();
  command->add_option("checkpoint", weights->file, "any file that --weights takes")->required();
  command
      ->add_option("out", *out,
                   "FILE.safetensors (torchvision's names, no fc) or FILE.onnx (operator set 17)")
      ->required();
  weights->add_reading_options(*command);
  command->callback([=] { run(*weights, *out); });
}

}  // namespace plumage
