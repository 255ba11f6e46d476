// Reading a checkpoint of 100 MB in each container against reading the file as it is.
//   build/bench/weights [FILE]     FILE: a file of weights of your own; without it a ResNet-50 written to the
//   temporary folder
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "bench/measure.h"
#include "nn/resnet.h"
#include "nn/weights/encoder_file.h"
#include "nn/weights/safetensors.h"
#include "tests/nn/crafted.h"

namespace plumage::bench {
namespace {

namespace fs = std::filesystem;
using namespace plumage::test;

void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// The network's state in the three containers, as PyTorch would lay it out: a storage a tensor.
std::vector<fs::path> write_samples(const fs::path& folder) {
  Init init;
  ResNet net({.arch = "resnet50", .classes = 1000}, init);
  TensorFile file;
  store_state(net, "", file.tensors);
  std::vector<std::string> items, storages;
  std::string keys = "](", data;
  for (const auto& [name, tensor] : file.tensors) {
    std::vector<int32_t> shape, strides;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(int32_t(tensor.size(i)));
    for (int64_t stride : dense_strides({shape.begin(), shape.end()})) strides.push_back(int32_t(stride));
    std::string key = std::to_string(storages.size());
    items.push_back(pickled::text(name));
    items.push_back(pickled::tensor(pickled::storage(key, int32_t(tensor.count())), 0, shape, strides));
    storages.emplace_back(static_cast<const char*>(tensor.raw()), size_t(tensor.bytes()));
    keys += pickled::text(key);
    data += little(uint64_t(tensor.count()), 8) + storages.back();
  }
  std::vector<fs::path> paths{folder / "x.safetensors", folder / "zip.pth", folder / "legacy.pth"};
  write_safetensors(paths[0], file);
  write(paths[1], archive(pickled::dictionary(items), storages));
  write(paths[2], legacy(pickled::dictionary(items), keys + "e", data));
  return paths;
}

/// The whole file into memory of the allocator's, as the tensors are: kept from the call before.
void read_plainly(const fs::path& path) {
  InputFile file(path);
  Tensor bytes = Tensor::empty({file.size()}, DType::u8);
  file.read(0, bytes.raw(), file.size());
}

void read_tensors(const fs::path& path) {
  WeightsFile file(path);
  std::vector<Tensor> tensors;
  for (const StoredTensor& tensor : file.index().tensors) tensors.push_back(file.read(tensor));
}

void measure(const fs::path& path) {
  double plain = seconds_of([&] { read_plainly(path); }, 9),
         tensors = seconds_of([&] { read_tensors(path); }, 9);
  WeightsFile file(path);
  std::printf("%-12s %7.1f MB   file %6.1f ms   tensors %6.1f ms = %.2f x", file.index().container.c_str(),
              double(fs::file_size(path)) * 1e-6, plain * 1e3, tensors * 1e3, tensors / plain);
  try {
    EncoderInFile found = find_encoder(file.index(), file.name());
    Init init;
    ResNet net(found.options, init);
    double loaded = seconds_of([&] {
      WeightsFile again(path);
      load_encoder_state(net, again, find_encoder(again.index(), again.name()));
    });
    std::printf("   into the network %6.1f ms", loaded * 1e3);
  } catch (const InputError&) {  // no encoder
  }
  std::printf("\n");
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) {
  using namespace plumage;
  try {
    if (argc > 1) return bench::measure(argv[1]), 0;
    std::filesystem::path folder =
        std::filesystem::temp_directory_path() / message("plumage-weights-", ::getpid());
    std::filesystem::create_directories(folder);
    for (const auto& path : bench::write_samples(folder)) bench::measure(path);
    std::filesystem::remove_all(folder);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "weights: %s\n", error.what());
    return 1;
  }
}
