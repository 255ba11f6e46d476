// Searches on a CUDA device, real or simulated, against the CPU's.
#include <doctest/doctest.h>

#include <algorithm>

#include "eval/knn.h"
#include "eval/retrieval.h"
#include "nn/resnet.h"
#include "tensor/accelerator.h"
#include "tensor/compute_type.h"
#include "tensor/context.h"
#include "tests/eval/feature_cases.h"

using namespace plumage;

namespace {

constexpr Device kDevice{Device::Kind::cuda, 0};

bool no_device() {
  if (accelerator::count() > 0) return false;
  MESSAGE("skipped: " << accelerator::why_none());
  return true;
}

Features there(Features f) {
  f.device = kDevice;
  return f;
}

// Whole numbers, whose products are exact wherever they are made, and often equal.
Features with_ties(int64_t rows) {
  std::vector<float> values;
  std::vector<int64_t> labels;
  std::vector<std::string> groups;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < 3; ++j) values.push_back(float((i * 7 + j * 5 + i * j) % 5 - 2));
    labels.push_back(i % 9 == 8 ? -1 : i % 4);
    groups.push_back(i % 3 ? "" : std::to_string(i / 6));
  }
  return test::features(values, 3, labels, groups);
}

}  // namespace

TEST_CASE("device: who is nearest there is nearest on the CPU, ties by index") {
  if (no_device()) return;
  Features gallery = with_ties(150), queries = subset(gallery, {3, 0, 77, 149});
  for (bool self : {false, true})
    for (bool leave_out_group : {false, true}) {
      Features here = self ? gallery : queries, far = there(here);
      auto wanted = nearest({here, gallery, self, leave_out_group, false}, 40);
      auto found = nearest({far, gallery, self, leave_out_group, false}, 40);
      CHECK(Context::of(kDevice).recent_ops().ends_with("matmul"));
      REQUIRE(found.size() == wanted.size());
      for (size_t q = 0; q < found.size(); ++q) {
        auto same = [](const Neighbour& a, const Neighbour& b) { return a.index == b.index && a.similarity == b.similarity; };
        CHECK(std::equal(found[q].begin(), found[q].end(), wanted[q].begin(), wanted[q].end(), same));
      }
      RetrievalOptions options{.normalize = false, .leave_out_group = leave_out_group};
      CHECK(retrieve(there(gallery), options).map == retrieve(gallery, options).map);
    }
  CHECK(knn_predict(there(queries), gallery, {.k = 5}).to_vector() == knn_predict(queries, gallery, {.k = 5}).to_vector());
  Features f64 = test::formula_features(60, 4, 3, DType::f64);
  CHECK(retrieve(there(f64)).map == doctest::Approx(retrieve(f64).map).epsilon(1e-12));
}

TEST_CASE("device: a search keeps every bit of the features although the encoder's products need not") {
  if (no_device()) return;
  use_compute_type(kDevice, ComputeType::tf32);
  Features query = there(test::features({1}, 1, {0}));
  std::vector<Neighbour> found = nearest({query, test::features({1, 1 + 0x1p-20f, 1 + 0x1p-19f}, 1, {0, 1, 2}), false, false, false}, 1)[0];
  CHECK(found[0].index == 2);
  CHECK(Context::of(kDevice).tf32);
  use_compute_type(kDevice, ComputeType::f32);
}

TEST_CASE("device: features remember where their encoder was, their parts too") {
  if (no_device()) return;
  for (Device device : {Device{}, kDevice}) {
    Init init{.seed = 1, .device = device};
    ResNet encoder({.arch = "resnet18", .stem = Stem::small, .width = 2}, init);
    Features features = extract_features(encoder, std::vector<Image>{Image(16, 16), Image(16, 16)}, {0, 1}, {.size = 16});
    CHECK(features.device == device);
    CHECK(subset(features, {1}).device == device);
    CHECK(features.v.device() == Device{});
  }
}
