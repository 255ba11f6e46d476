// Building the packed file of decoded pictures, beside what libjpeg-turbo alone does with the same files.
// bench/cache DIR [--dataset NAME] [--split S] [--short-side PX] [--threads N] [--repeat R] [--json]
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "bench/measure.h"
#include "data/dataset.h"
#include "data/packed_file.h"
#include "tensor/errors.h"

#if PLUMAGE_HAS_JPEG
#include <jpeglib.h>

namespace plumage::bench {
namespace {

// Reads and decodes one file with libjpeg's defaults into buffers that are kept from picture to picture. These are
// sound pictures: an error ends the program, as libjpeg does by itself.
struct PlainDecoder {
  std::vector<char> bytes;
  std::vector<uint8_t> pixels;

  int64_t decode(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    bytes.resize(std::filesystem::file_size(path));
    in.read(bytes.data(), std::streamsize(bytes.size()));
    jpeg_decompress_struct info;
    jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    size_t row_bytes = size_t(info.output_width) * 3;
    pixels.resize(row_bytes * info.output_height);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = pixels.data() + row_bytes * info.output_scanline;
      jpeg_read_scanlines(&info, &row, 1);
    }
    int64_t count = int64_t(info.output_width) * info.output_height;
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return count;
  }
};

// Seconds that libjpeg-turbo takes for all files with every thread; `pixels` becomes how many there are.
double plain_seconds(const Dataset& dataset, int threads, int64_t& pixels) {
  std::atomic<int64_t> next = 0, sum = 0;
  double start = now();
  {
    std::vector<std::jthread> workers;
    for (int t = 0; t < worker_threads(threads); ++t) {
      workers.emplace_back([&] {
        PlainDecoder decoder;
        for (int64_t i; (i = next++) < dataset.size();) sum += decoder.decode(dataset.samples[size_t(i)].path);
      });
    }
  }
  pixels = sum;
  return now() - start;
}

struct Arguments {
  std::string dir, dataset = "folder", split = "all";
  int64_t short_side = 256;
  int threads = 0, repeat = 3;
  bool json = false;
};

double packed_seconds(const Dataset& dataset, const Arguments& a, const std::filesystem::path& folder, uintmax_t& bytes) {
  double start = now();
  PackedFile file(folder, dataset, {.short_side = a.short_side, .threads = a.threads, .progress = {}});
  double seconds = now() - start;
  bytes = std::filesystem::file_size(file.path());
  std::filesystem::remove(file.path());
  return seconds;
}

void run(const Arguments& a) {
  Dataset dataset = open_dataset(a.dataset, a.dir, a.split);
  std::erase_if(dataset.samples, [](const Sample& s) {
    std::ifstream in(s.path, std::ios::binary);
    return in.get() != 0xff || in.get() != 0xd8;
  });
  if (dataset.samples.empty()) throw InputError(a.dir + ": no JPEG files in it");
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("plumage-bench-" + std::to_string(getpid()));
  int64_t pixels = 0;
  uintmax_t bytes = 0;
  plain_seconds(dataset, a.threads, pixels);  // so that both find the files in memory
  std::vector<double> plain, packed;
  for (int i = 0; i < a.repeat; ++i) {  // in turn: a machine that slows down slows both
    plain.push_back(plain_seconds(dataset, a.threads, pixels));
    packed.push_back(packed_seconds(dataset, a, folder, bytes));
  }
  std::filesystem::remove_all(folder);
  double plain_rate = double(dataset.size()) / median(plain), packed_rate = double(dataset.size()) / median(packed);
  if (a.json) {
    std::printf("{\"images\": %ld, \"megapixels\": %.1f, \"threads\": %d, \"short_side\": %ld, \"libjpeg_images_per_s\": %.1f, "
                "\"cache_images_per_s\": %.1f, \"ratio\": %.3f}\n",
                long(dataset.size()), double(pixels) * 1e-6, worker_threads(a.threads), long(a.short_side), plain_rate,
                packed_rate, packed_rate / plain_rate);
    return;
  }
  std::printf("%ld JPEG files, %.1f megapixels, %d threads, median of %d\n", long(dataset.size()), double(pixels) * 1e-6,
              worker_threads(a.threads), a.repeat);
  std::printf("libjpeg-turbo alone            %8.1f images/s  %7.1f megapixels/s\n", plain_rate,
              double(pixels) * 1e-6 / median(plain));
  std::printf("packed cache, short side %-5ld %8.1f images/s  %7.1f megapixels/s, %.1f MB written\n", long(a.short_side),
              packed_rate, double(pixels) * 1e-6 / median(packed), double(bytes) * 1e-6);
  std::printf("ratio                          %8.2f\n", packed_rate / plain_rate);
}

}  // namespace
}  // namespace plumage::bench

int main(int argc, char** argv) {
  plumage::bench::Arguments a;
  CLI::App program{"Building the packed cache against libjpeg-turbo alone"};
  program.add_option("dir", a.dir, "folder of the data set")->required();
  program.add_option("--dataset", a.dataset, "its kind");
  program.add_option("--split", a.split, "its split");
  program.add_option("--short-side", a.short_side, "pixels; 0: pictures as they are")->check(CLI::Range(0, 65500));
  program.add_option("--threads", a.threads, "default: one a core")->check(CLI::Range(1, 1024));
  program.add_option("--repeat", a.repeat, "measurements of each")->check(CLI::Range(1, 100));
  program.add_flag("--json", a.json, "one JSON object");
  CLI11_PARSE(program, argc, argv);
  try {
    plumage::bench::run(a);
    return 0;
  } catch (const plumage::Error& error) {
    std::cerr << "bench/cache: " << error.what() << '\n';
    return error.exit_code();
  }
}
#else
int main() {
  std::puts("bench/cache: skipped: built without libjpeg");
  return 0;
}
#endif
