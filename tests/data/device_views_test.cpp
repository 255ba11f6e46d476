// Views made on a device (the simulated one, or a real one) against the CPU's of the same parameters: colours in [0, 1],
// before normalisation. 1/255 is allowed; asked for is kClose, since only the order of sums and 16 bits between the two
// passes of the blur differ.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "data/device_pictures.h"
#include "data/recolour.h"
#include "expected_values.h"
#include "tensor/accelerator.h"
#include "tensor/errors.h"
#include "tensor/philox.h"
#include "tests/data/bundle.h"

namespace plumage {
namespace {

using namespace test;

constexpr double kClose = 1e-4;
const Normalization kNone{{0, 0, 0}, {1, 1, 1}};
const Device kDevice{Device::Kind::cuda, 0};

Image random_picture(int64_t width, int64_t height, uint64_t seed) {
  Image image(width, height);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(philox({seed}, i)[0] >> 24);
  return image;
}

Image gray_picture(int64_t width, int64_t height, uint64_t seed) {
  Image image = random_picture(width, height, seed);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = image.rgb[i - i % 3];
  return image;
}

std::vector<Image> pictures() {
  std::vector<Image> out;
  for (auto [width, height] : {std::pair{37, 23}, {64, 48}, {5, 9}, {1, 17}, {90, 2}, {1, 1}})
    out.push_back(random_picture(width, height, uint64_t(width)));
  out.push_back(gray_picture(30, 31, 5));
  out.push_back(Image(12, 12));  // black
  return out;
}

// The views that the slots describe, one a picture, made on the device.
Tensor on_device(const std::vector<Image>& images, std::vector<ViewSlot> slots, int64_t size, const Normalization& norm = kNone,
                 DType dtype = DType::f32, int64_t channels = 3) {
  std::vector<uint8_t> bytes;
  for (size_t k = 0; k < images.size(); ++k) {
    slots[k].first += int64_t(bytes.size());
    bytes.insert(bytes.end(), images[k].rgb.begin(), images[k].rgb.end());
  }
  const auto& levels = normal_levels();
  ColourScale colours{norm.mean, {1 / norm.std[0], 1 / norm.std[1], 1 / norm.std[2]}};
  Tensor out = Tensor::empty({int64_t(images.size()), size, size, channels}, dtype, kDevice);
  make_views(Tensor::from(bytes, {int64_t(bytes.size())}).to(kDevice), slots, colours,
             Tensor::from<float>(std::span<const float>(levels), {4096}).to(kDevice), out);
  return out.to(Device{});
}

std::vector<float> on_cpu(const std::vector<Image>& images, const std::vector<AugmentParameters>& parameters, int64_t size,
                          const Normalization& norm = kNone) {
  std::vector<float> out(images.size() * size_t(size * size * 3));
  for (size_t k = 0; k < images.size(); ++k) apply(images[k], parameters[k], size, out.data() + k * size_t(size * size * 3), norm);
  return out;
}

double worst(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i)
    if (double difference = std::abs(double(a[i]) - double(b[i])); !(difference <= most)) most = difference;
  return most;
}

std::vector<ViewSlot> slots_of(const std::vector<Image>& images, const std::vector<AugmentParameters>& parameters, int64_t size) {
  std::vector<ViewSlot> slots;
  for (size_t k = 0; k < images.size(); ++k) slots.push_back(view_slot(parameters[k], images[k].width, images[k].height, size));
  return slots;
}

double difference(const std::vector<Image>& images, const std::vector<AugmentParameters>& parameters, int64_t size) {
  Tensor got = on_device(images, slots_of(images, parameters, size), size);
  return worst(got.span<float>(), on_cpu(images, parameters, size));
}

void check_option(const char* name, const AugmentOptions& options) {
  INFO(name);
  auto images = pictures();
  for (uint64_t seed = 0; seed < 3; ++seed)
    for (int64_t size : {13, 16}) {
      std::vector<AugmentParameters> parameters;
      for (size_t k = 0; k < images.size(); ++k)
        parameters.push_back(draw(options, {seed, 1, k, 0}, images[k].width, images[k].height));
      CHECK(difference(images, parameters, size) <= kClose);
    }
}

AugmentOptions crop_only() {
  AugmentOptions o;
  o.flip = o.jitter = o.grayscale = o.blur = 0;
  return o;
}

AugmentParameters whole(const Image& image) {
  AugmentParameters p;
  p.width = image.width;
  p.height = image.height;
  return p;
}

bool no_device() {
  if (accelerator::count() > 0) return false;
  MESSAGE("skipped: " << accelerator::why_none());
  return true;
}

}  // namespace

TEST_CASE("device views: each step is the CPU's") {
  if (no_device()) return;
  check_option("crop and resize", crop_only());
  struct Option { const char* name; double AugmentOptions::*value; double strength; bool jitter; };
  for (const Option& option : std::initializer_list<Option>{{"flip", &AugmentOptions::flip, 1, false},
                                                            {"brightness", &AugmentOptions::brightness, 0.9, true},
                                                            {"contrast", &AugmentOptions::contrast, 0.9, true},
                                                            {"saturation", &AugmentOptions::saturation, 0.9, true},
                                                            {"hue", &AugmentOptions::hue, 0.5, true},
                                                            {"grayscale", &AugmentOptions::grayscale, 1, false},
                                                            {"blur", &AugmentOptions::blur, 1, false},
                                                            {"rotation", &AugmentOptions::rotation, 3, false},
                                                            {"noise", &AugmentOptions::noise, 0.1, false}}) {
    AugmentOptions o = crop_only();
    if (option.jitter) {
      o.jitter = 1;
      o.brightness = o.contrast = o.saturation = o.hue = 0;
    }
    o.*option.value = option.strength;
    check_option(option.name, o);
  }
}

TEST_CASE("device views: all steps together are the CPU's") {
  if (no_device()) return;
  AugmentOptions o;
  check_option("MoCo v2", o);
  check_option("small pictures", small_picture_options());
  o.flip = o.jitter = o.blur = 1;
  o.rotation = 0.4;
  o.noise = 0.05;
  check_option("everything", o);
  o.grayscale = 1;
  check_option("everything, gray", o);
}

TEST_CASE("device views: orders of the jitter") {
  if (no_device()) return;
  std::vector<Image> images;
  std::vector<AugmentParameters> parameters;
  AugmentParameters p = whole(random_picture(20, 20, 1));
  p.jitter = true;
  p.brightness = 1.3f, p.contrast = 0.6f, p.saturation = 1.4f, p.hue = 0.2f;
  std::sort(p.order.begin(), p.order.end());
  do {
    images.push_back(random_picture(20, 20, 1));
    parameters.push_back(p);
  } while (std::next_permutation(p.order.begin(), p.order.end()));
  CHECK(images.size() == 24);
  CHECK(difference(images, parameters, 20) <= kClose);
}

TEST_CASE("device views: crops of one pixel's width, at the picture's edges, and strong shrinking") {
  if (no_device()) return;
  std::vector<Image> images;
  std::vector<AugmentParameters> parameters;
  auto add = [&](const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
    AugmentParameters p;
    p.left = left, p.top = top, p.width = width, p.height = height;
    p.flip = images.size() % 2;
    images.push_back(image);
    parameters.push_back(p);
  };
  Image image = random_picture(40, 30, 2);
  add(image, 39, 0, 1, 30);
  add(image, 0, 29, 40, 1);
  add(image, 0, 0, 1, 1);
  add(image, 39, 29, 1, 1);
  add(image, 38, 3, 2, 27);
  CHECK(difference(images, parameters, 12) <= kClose);
  CHECK(difference(images, parameters, 1) <= kClose);
  images.clear();
  parameters.clear();
  Image large = random_picture(330, 600, 3);  // 150 source rows a row of the view: more than are kept of them
  add(large, 0, 0, 330, 600);
  add(large, 10, 1, 310, 590);
  CHECK(difference(images, parameters, 4) <= kClose);
  CHECK(difference(images, parameters, 52) <= kClose);
}

TEST_CASE("device views: a picture of one row more than a block keeps between the passes of the resize") {
  if (no_device()) return;
  // 16 pixels: what a block keeps then fills its memory to the last byte, so that a row too many would be nobody's; with two
  // views, the other's.
  for (size_t views : {1, 2}) {
    std::vector<Image> images(views, random_picture(5, 65, 4));
    std::vector<AugmentParameters> parameters(views, whole(images[0]));
    CHECK(difference(images, parameters, 16) <= kClose);
  }
}

TEST_CASE("device views: a blur wider than the picture, and hardly any") {
  if (no_device()) return;
  std::vector<Image> images;
  std::vector<AugmentParameters> parameters;
  for (float sigma : {0.01f, 0.24f, 0.26f, 2.0f, 7.0f, 100.0f}) {
    images.push_back(random_picture(9, 9, 7));
    parameters.push_back(whole(images.back()));
    parameters.back().sigma = sigma;
  }
  parameters[2].sigma = 0;  // those without one between those with
  CHECK(difference(images, parameters, 9) <= kClose);
  CHECK(difference(images, parameters, 8) <= kClose);
}

TEST_CASE("device views: the plain view, normalised; bf16 with a channel of zeros") {
  if (no_device()) return;
  auto images = pictures();
  for (auto [size, resize_to] : {std::pair{9, 12}, {16, 18}, {8, 0}}) {
    std::vector<ViewSlot> slots;
    std::vector<float> wanted(images.size() * size_t(size * size * 3));
    for (size_t k = 0; k < images.size(); ++k) {
      slots.push_back(plain_slot(images[k].width, images[k].height, size, resize_to));
      plain_view(images[k], size, wanted.data() + k * size_t(size * size * 3), {}, resize_to);
    }
    CHECK(worst(on_device(images, slots, size, {}).span<float>(), wanted) <= kClose / 0.22);
    for (DType dtype : {DType::f32, DType::bf16})
      for (int64_t channels : {3, 4}) {
        std::vector<double> got = on_device(images, slots, size, {}, dtype, channels).to_vector();
        REQUIRE(got.size() == wanted.size() / 3 * size_t(channels));
        double most = 0, padding = 0;
        for (size_t i = 0; i < got.size(); ++i) {
          size_t c = i % size_t(channels);
          if (c == 3) padding += std::abs(got[i]);
          else most = std::max(most, std::abs(got[i] - double(wanted[i / size_t(channels) * 3 + c])));
        }
        CHECK(most <= (dtype == DType::bf16 ? 2.7 / 256 : kClose / 0.22));  // colours reach 2.7 when normalised
        CHECK(padding == 0);
      }
  }
}

TEST_CASE("device views: what a slot may not say") {
  if (no_device()) return;
  std::vector<Image> images{random_picture(6, 5, 1)};
  std::vector<ViewSlot> slots{plain_slot(6, 5, 4)};
  auto complaint = [&](auto change) {
    auto wrong = slots;
    change(wrong[0]);
    return thrown<InputError>([&] { on_device(images, wrong, 4); });
  };
  CHECK(contains(complaint([](ViewSlot& s) { s.first = 1; }), "inside of the pictures"));
  CHECK(contains(complaint([](ViewSlot& s) { s.first = -1; }), "inside of the pictures"));
  CHECK(contains(complaint([](ViewSlot& s) { s.down.size = 6; }), "inside of the pictures"));
  CHECK(contains(complaint([](ViewSlot& s) { s.stride = 19; }), "inside of the pictures"));
  CHECK(contains(complaint([](ViewSlot& s) { s.stride = 17; }), "inside of the pictures"));
  CHECK(contains(complaint([](ViewSlot& s) { s.first = 73, s.down.size = 1; }), "inside of the pictures"));
  CHECK(contains(complaint([](ViewSlot& s) { s.across.scale = NAN; }), "across"));
  CHECK(contains(complaint([](ViewSlot& s) { s.sigma = 101; }), "sigma"));
  AugmentParameters outside = whole(images[0]);
  outside.left = 1;
  CHECK(contains(thrown<InputError>([&] { view_slot(outside, 6, 5, 4); }), "crop"));
  Tensor out = Tensor::empty({1, 4, 4, 5}, DType::f32, kDevice), pictures = Tensor::zeros({90}, DType::u8, kDevice);
  CHECK_THROWS_AS(make_views(pictures, slots, {}, {}, out), ShapeError);
  out = Tensor::empty({1, 4, 4, 3}, DType::f64, kDevice);
  CHECK_THROWS_AS(make_views(pictures, slots, {}, {}, out), DTypeError);
  out = Tensor::empty({1, 4, 4, 3});
  CHECK_THROWS_AS(make_views(pictures, slots, {}, {}, out), DeviceError);
}

namespace {

// Ten pictures of 6 to 15 by 9 pixels.
Dataset ten_pictures(const ScratchFolder& folder) {
  for (int i = 0; i < 10; ++i)
    folder.write("a/" + std::to_string(i) + ".ppm", plain_ppm(6 + i, 9, static_cast<unsigned char>(20 * i), 100, 200));
  return open_dataset("folder", folder.path(), "train");
}

}  // namespace

TEST_CASE("device views: a loader's batches are the CPU's, whether the pictures are kept there or not") {
  if (no_device()) return;
  ScratchFolder folder;
  ImageCache cache(ten_pictures(folder));
  AugmentOptions augment = small_picture_options();
  View x1{"x1", 8, 8,
          [=](const Image& image, const ViewKey& key, float* out) { apply(image, draw(augment, key, image.width, image.height), 8, out); },
          [=](int64_t width, int64_t height, const ViewKey& key) { return view_slot(draw(augment, key, width, height), width, height, 8); }};
  View x2 = x1, x{"x", 7, 7, [](const Image& image, const ViewKey&, float* out) { plain_view(image, 7, out); },
                  [](int64_t width, int64_t height, const ViewKey&) { return plain_slot(width, height, 7); }};
  DevicePictures kept(cache, kDevice, 1 << 20), streamed(cache, kDevice, 10);
  CHECK(kept.resident());
  CHECK(contains(kept.summary(), "MiB of pictures kept"));
  CHECK(!streamed.resident());
  CHECK(contains(streamed.summary(), "batch by batch"));
  for (DevicePictures* pictures : {&kept, &streamed}) {
    LoaderOptions options{.batch = 4, .seed = 3, .threads = 1};
    Loader cpu(cache, {x1, x2, x}, options);
    options.pictures = pictures;
    auto device = std::make_unique<Loader>(cache, std::vector<View>{x1, x2, x}, options);
    for (int step = 0; step < 5; ++step) {
      if (step == 3) device = std::make_unique<Loader>(cache, std::vector<View>{x1, x2, x}, options, device->position());
      Batch a = cpu.next(), b = device->next();
      CHECK(a.position == b.position);
      CHECK(a.index.to_vector() == b.index.to_vector());
      CHECK(a.labels.to_vector() == b.labels.to_vector());
      for (size_t v = 0; v < 3; ++v) {
        CHECK(b.views[v].device() == kDevice);
        CHECK(worst(a.views[v].span<float>(), b.views[v].to(Device{}).span<float>()) <= kClose / 0.22);
      }
    }
    x.slot = {};
    CHECK(contains(thrown<InputError>([&] { Loader(cache, {x}, options); }), "slot"));
    x.slot = [](int64_t width, int64_t height, const ViewKey&) { return plain_slot(width, height, 7); };
    x1.slot = [](int64_t, int64_t, const ViewKey&) -> ViewSlot { throw InputError("no such view"); };
    Loader failing(cache, {x1}, options);
    CHECK(contains(thrown<InputError>([&] { failing.next(); }), ".ppm: no such view"));
    x1.slot = x2.slot;
  }
}

TEST_CASE("device views: streamed pictures are there when views are made of them, and stay until then") {
  if (no_device()) return;
  ScratchFolder folder;
  ImageCache cache(ten_pictures(folder));
  View view{"x", 7, 7, [](const Image& image, const ViewKey&, float* out) { plain_view(image, 7, out); },
            [](int64_t width, int64_t height, const ViewKey&) { return plain_slot(width, height, 7); }};
  DevicePictures kept(cache, kDevice, 1 << 20), streamed(cache, kDevice, 10);
  // Nobody looks at a view before all have been asked for: the device may do what it was asked in any order that it was not
  // told.
  auto views = [&](DevicePictures& pictures, int threads) {
    {  // Work that is still queued on memory which the loader gets next.
      constexpr int64_t kLargestBatch = (12 + 13 + 14 + 15) * 9 * 3;
      Tensor a = Tensor::full({kLargestBatch / 4}, 1, DType::f32, kDevice), b = Tensor::full({kLargestBatch / 4}, 2, DType::f32, kDevice);
    }
    Loader loader(cache, {view}, {.batch = 4, .seed = 3, .threads = threads, .pictures = &pictures});
    std::vector<Tensor> asked;
    for (int step = 0; step < 9; ++step) asked.push_back(loader.next().views[0]);
    std::vector<std::vector<double>> seen;
    for (const Tensor& t : asked) seen.push_back(t.to_vector());
    return seen;
  };
  auto wanted = views(kept, 1);
  for (int threads : {1, 3}) CHECK(views(streamed, threads) == wanted);
}

TEST_CASE("device views: what pictures are streamed through is taken once") {
  if (no_device()) return;
  ScratchFolder folder;
  ImageCache cache(ten_pictures(folder));
  View view{"x", 7, 7, [](const Image& image, const ViewKey&, float* out) { plain_view(image, 7, out); },
            [](int64_t width, int64_t height, const ViewKey&) { return plain_slot(width, height, 7); }};
  DevicePictures streamed(cache, kDevice, 10);
  Loader loader(cache, {view}, {.batch = 10, .pictures = &streamed});
  for (int step = 0; step < 3; ++step) loader.next();
  int64_t calls = Allocator::of(kDevice).statistics().system_calls;
  for (int step = 0; step < 5; ++step) loader.next();
  CHECK(Allocator::of(kDevice).statistics().system_calls == calls);
}

}  // namespace plumage
