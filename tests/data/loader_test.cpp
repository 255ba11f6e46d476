// Cache and loader: what is left out, what comes in which order, and that threads cannot be told from the
// result.
#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>

#include "tensor/errors.h"
#include "tests/data/bundle.h"

namespace plumage {
namespace {

using namespace test;

// Pictures 00.ppm, 01.ppm, ... in two classes; picture i has sides 6 + i % 3 and 8, and is of colour (i, 100,
// 200).
void write_pictures(const ScratchFolder& folder, int count) {
  for (int i = 0; i < count; ++i) {
    std::string name =
        (i < count / 2 ? "a/" : "b/") + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".ppm";
    folder.write(name, plain_ppm(6 + i % 3, 8, static_cast<unsigned char>(i), 100, 200));
  }
}

Dataset open(const ScratchFolder& folder) { return open_dataset("folder", folder.path(), "train"); }

// A view of 2 x 2 pixels that shows the picture's first byte and its key.
View probe_view(const std::string& name) {
  return {name, 2, 2, [](const Image& image, const ViewKey& key, float* out) {
            for (int i = 0; i < 12; ++i) {
              out[i] =
                  float(image.rgb[0]) + 1000 * float(key.epoch) + 10000 * float(key.view) + float(i) / 16;
            }
            if (int64_t(key.index) != image.rgb[0]) throw InputError("the key names another picture");
          }};
}

std::vector<double> values_of(const Batch& batch) {
  std::vector<double> values;
  for (const Tensor* tensor : {&batch.index, &batch.labels}) {
    std::vector<double> part = tensor->to_vector();
    values.insert(values.end(), part.begin(), part.end());
  }
  for (const Tensor& view : batch.views) {
    std::vector<double> part = view.to_vector();
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

}  // namespace

TEST_CASE("cache: one broken picture among many is named and left out") {
  ScratchFolder folder;
  write_pictures(folder, 12);
  folder.write("a/03.ppm", "P6 7 8 255 cut");
  ImageCache cache(open(folder));
  CHECK(cache.size() == 11);
  REQUIRE(cache.corrupt().size() == 1);
  CHECK(contains(cache.corrupt()[0], "a/03.ppm: truncated PPM"));
  Image scratch;
  CHECK(cache.get(2, scratch).rgb[0] == 2);
  CHECK(cache.get(3, scratch).rgb[0] == 4);
  CHECK(cache.dataset().samples[3].path.filename() == "04.ppm");
}

TEST_CASE("cache: more than 1 % of broken pictures stops unless allowed, all of them always") {
  ScratchFolder folder;
  write_pictures(folder, 12);
  folder.write("a/03.ppm", "");
  folder.write("b/07.ppm", "nothing");
  std::string error = thrown<InputError>([&] { ImageCache cache(open(folder)); });
  CHECK(contains(error, "2 of 12 pictures cannot be read"));
  CHECK(contains(error, "a/03.ppm: empty file"));
  CHECK(ImageCache(open(folder), {.allow_corrupt = true, .progress = {}}).size() == 10);
  for (const Sample& sample : open(folder).samples) std::ofstream(sample.path) << "nothing";
  error = thrown<InputError>([&] { ImageCache(open(folder), {.allow_corrupt = true, .progress = {}}); });
  CHECK(contains(error, "none of 12 pictures can be read"));
  CHECK_THROWS_AS(ImageCache(Dataset{}), InputError);
}

TEST_CASE("cache: the mapped file shows the same pictures as memory and leaves nothing behind") {
  ScratchFolder folder, place;
  write_pictures(folder, 12);
  Dataset dataset = open(folder);
  ImageCache memory(dataset, {.threads = 3, .progress = {}});
  ImageCache mapped(dataset, {.memory_limit = 500, .folder = place.path(), .threads = 3, .progress = {}});
  CHECK(!memory.mapped());
  REQUIRE(mapped.mapped());
  CHECK(mapped.bytes() == memory.bytes());
  CHECK(std::filesystem::is_empty(place.path()));
  Image scratch_1, scratch_2;
  for (int64_t i = 0; i < memory.size(); ++i) {
    CHECK(mapped.get(i, scratch_1).rgb == memory.get(i, scratch_2).rgb);
    CHECK(mapped.get(i, scratch_1).width == 6 + i % 3);
  }
  CacheOptions nowhere{.memory_limit = 500, .folder = place / "absent", .progress = {}};
  CHECK(contains(thrown<MachineError>([&] { ImageCache cache(dataset, nowhere); }), "absent"));
}

TEST_CASE("cache: large pictures are reduced to the short side, small ones left as they are") {
  ScratchFolder folder;
  folder.write("1.ppm", plain_ppm(40, 21, 1, 2, 3));
  folder.write("2.ppm", plain_ppm(9, 10, 1, 2, 3));
  ImageCache cache(open(folder), {.short_side = 10, .progress = {}});
  Image scratch;
  CHECK(cache.get(0, scratch).width == 19);
  CHECK(cache.get(0, scratch).height == 10);
  CHECK(cache.get(1, scratch).width == 9);
  CHECK(cache.get(0, scratch).rgb[0] == 1);
}

TEST_CASE("loader: batches are the same for 1, 2 and 5 threads and any queue, over epochs") {
  ScratchFolder folder;
  write_pictures(folder, 23);
  ImageCache cache(open(folder));
  std::vector<std::vector<double>> wanted;
  for (int threads : {1, 2, 5}) {
    for (int64_t queue : {1, 4}) {
      Loader loader(cache, {probe_view("plain"), probe_view("augmented")},
                    {.batch = 5, .seed = 9, .threads = threads, .queue = queue});
      CHECK(loader.steps_per_epoch() == 4);
      std::vector<std::vector<double>> seen;
      for (int i = 0; i < 10; ++i) seen.push_back(values_of(loader.next()));
      if (wanted.empty()) wanted = seen;
      CHECK(seen == wanted);
    }
  }
  auto largest = [](const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); };
  CHECK(largest(wanted[3]) < 11000);   // epoch 0, view 1
  CHECK(largest(wanted[4]) >= 11000);  // epoch 1
}

TEST_CASE("loader: a batch holds what its picture and key say") {
  ScratchFolder folder;
  write_pictures(folder, 12);
  ImageCache cache(open(folder));
  Loader loader(cache, {probe_view("plain"), probe_view("augmented")}, {.batch = 4, .seed = 3});
  std::set<int64_t> seen;
  for (int64_t step = 0; step < 3; ++step) {
    Batch batch = loader.next();
    CHECK(batch.position == Position{0, step});
    CHECK(batch.views[1].shape() == Shape{4, 2, 2, 3});
    for (int64_t slot = 0; slot < 4; ++slot) {
      int64_t i = batch.index.data<int64_t>()[slot];
      seen.insert(i);
      CHECK(batch.labels.data<int64_t>()[slot] == (i < 6 ? 0 : 1));
      CHECK(batch.views[1].data<float>()[slot * 12 + 11] == float(i) + 10000 + 11.0f / 16);
    }
  }
  CHECK(seen.size() == 12);
}

TEST_CASE("loader: an order is a permutation, differs by epoch and seed, and resumes anywhere") {
  std::vector<int64_t> order = epoch_order(100, 1, 0), sorted = order, all(100);
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  CHECK(sorted == all);
  CHECK(order != all);
  CHECK(order != epoch_order(100, 1, 1));
  CHECK(order != epoch_order(100, 2, 0));

  ScratchFolder folder;
  write_pictures(folder, 11);
  ImageCache cache(open(folder));
  LoaderOptions options{.batch = 3, .seed = 1, .threads = 2};
  std::vector<std::vector<double>> through;
  Loader loader(cache, {probe_view("plain")}, options);
  std::vector<Position> positions;
  for (int i = 0; i < 7; ++i) {
    positions.push_back(loader.position());
    through.push_back(values_of(loader.next()));
  }
  for (size_t i = 0; i < 7; ++i) {
    Loader resumed(cache, {probe_view("plain")}, options, positions[i]);
    CHECK(values_of(resumed.next()) == through[i]);
  }
  CHECK(positions[3] == Position{1, 0});
  Loader at_the_end(cache, {probe_view("plain")}, options, {0, 3});
  CHECK(at_the_end.position() == Position{1, 0});
}

TEST_CASE("loader: evaluation hands out every picture once, in order, the rest as a smaller batch") {
  ScratchFolder folder;
  write_pictures(folder, 7);
  ImageCache cache(open(folder));
  Loader loader(cache, {probe_view("plain")}, {.batch = 3, .threads = 2, .evaluation = true});
  std::vector<double> seen;
  while (loader.has_next()) {
    std::vector<double> index = loader.next().index.to_vector();
    seen.insert(seen.end(), index.begin(), index.end());
  }
  CHECK(seen == std::vector<double>{0, 1, 2, 3, 4, 5, 6});
  CHECK_THROWS_AS(loader.next(), InputError);
  Loader large(cache, {probe_view("plain")}, {.batch = 100, .evaluation = true});
  CHECK(large.next().index.count() == 7);
  CHECK(!large.has_next());
}

TEST_CASE("loader: a batch larger than the data, or of nothing, is refused by name") {
  ScratchFolder folder;
  write_pictures(folder, 4);
  ImageCache cache(open(folder));
  auto refusal = [&](const LoaderOptions& options, Position start = {}) {
    return thrown<InputError>([&] { Loader(cache, {probe_view("plain")}, options, start); });
  };
  CHECK(contains(refusal({.batch = 5}), "batch of 5 is larger than the data: 4 pictures in folder train"));
  CHECK(contains(refusal({.batch = 0}), "batch of 0"));
  CHECK(contains(refusal({.batch = 2}, {0, 3}), "step 3 of 2"));
  CHECK(contains(refusal({.batch = 2, .threads = 1000000000}), "1000000000 threads"));
  CHECK(contains(refusal({.batch = 2, .queue = 1000000000}), "1000000000 batches ahead"));
}

TEST_CASE("loader: what goes wrong in a worker arrives with the picture's name, in its batch's turn") {
  ScratchFolder folder;
  write_pictures(folder, 12);
  ImageCache cache(open(folder));
  View view = probe_view("plain");
  view.make = [](const Image& image, const ViewKey&, float*) {
    if (image.rgb[0] >= 5) throw InputError("too blue");
  };
  Loader loader(cache, {view}, {.batch = 4, .threads = 3, .shuffle = false});
  CHECK_NOTHROW(loader.next());
  for (int again = 0; again < 2; ++again) {
    CHECK(contains(thrown<InputError>([&] { loader.next(); }), "a/05.ppm: too blue"));
  }
}

TEST_CASE("loader: it stops at once when nobody waits, and measures who waits for whom") {
  using namespace std::chrono;
  ScratchFolder folder;
  write_pictures(folder, 12);
  ImageCache cache(open(folder));
  View slow = probe_view("slow");
  slow.make = [](const Image&, const ViewKey&, float*) { std::this_thread::sleep_for(milliseconds(5)); };
  {
    Loader loader(cache, {slow}, {.batch = 4, .threads = 1});
    for (int i = 0; i < 4; ++i) loader.next();
    CHECK(loader.take_wait_share() > 0.5);
  }
  {
    Loader loader(cache, {probe_view("fast")}, {.batch = 4, .threads = 1});
    loader.next();
    loader.take_wait_share();  // without the start of the thread
    std::this_thread::sleep_for(milliseconds(200));
    loader.next();
    CHECK(loader.take_wait_share() < 0.9);
  }
  auto start = steady_clock::now();
  { Loader loader(cache, {slow}, {.batch = 12, .threads = 4, .queue = 1000}); }
  CHECK(duration<double>(steady_clock::now() - start).count() < 8);  // the whole queue would take 15 s
}

}  // namespace plumage
