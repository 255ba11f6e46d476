// The key queue and the feature bank: what a ring of rows holds after every kind of write, and the spread over it.
#include "ssl/feature_bank.h"
#include "ssl/queue.h"
#include "tensor/ops.h"
#include "tests/ssl/expected_values.h"

using namespace plumage;
using test::check_close, test::expected;

namespace {

/// Rows first, first + 1, ... of n equal numbers.
Tensor counted(double first, int64_t rows, int64_t n = 2) {
  std::vector<double> values;
  for (int64_t i = 0; i < rows * n; ++i) values.push_back(first + double(i / n));
  return Tensor::from(values, {rows, n});
}

/// The first number of each row.
std::vector<double> firsts(const Tensor& rows) {
  std::vector<double> all = rows.to_vector(), out;
  for (int64_t i = 0; i < rows.size(0); ++i) out.push_back(all[size_t(i * rows.size(1))]);
  return out;
}

using Numbers = std::vector<double>;

std::map<std::string, Tensor> state_of(Module& module) {
  std::map<std::string, Tensor> out;
  for (auto& [name, value] : module.state()) out[name] = value.value();
  return out;
}

}  // namespace

TEST_CASE("the queue starts with unit rows, repeatable by seed, and takes the oldest away first") {
  KeyQueue queue(6, 4, 11, DType::f64), same(6, 4, 11, DType::f64), other(6, 4, 12, DType::f64);
  CHECK(queue.keys().shape() == Shape{6, 4});
  check_close(ops::l2_normalize(queue.keys()).second, Numbers(6, 1.0), 1e-14);
  CHECK(queue.keys().to_vector() == same.keys().to_vector());
  CHECK(queue.keys().to_vector() != other.keys().to_vector());
  queue.enqueue(counted(1, 4, 4));
  queue.enqueue(counted(5, 4, 4));  // 5, 6 | 7, 8 wrap
  CHECK(firsts(queue.keys()) == Numbers{7, 8, 3, 4, 5, 6});
  CHECK(state_of(queue).at("pointer").to_vector() == Numbers{2});
  CHECK_THROWS_AS(queue.enqueue(counted(1, 7, 4)), ShapeError);
  CHECK(firsts(queue.keys()) == Numbers{7, 8, 3, 4, 5, 6});
  CHECK_THROWS_AS(KeyQueue(0, 4, 1, DType::f32), InputError);
}

TEST_CASE("PyTorch's momentum update and queue, five batches") {
  auto file = test::bundle_values("moco_queue.safetensors");
  if (file.empty()) return;
  Tensor target = file.at("theta_k").clone();
  std::vector<ops::EmaParameter> list = {{target, file.at("theta_q")}};
  ops::ema(list, file.at("m").item());
  check_close(target, file.at("theta_k_new").to_vector(), 1e-14);

  KeyQueue queue(12, 4, 0, DType::f64);
  queue.visit("", [&](const std::string& name, Var& value, Role) {
    if (name == "keys") value.value().copy_from(test::transposed(file.at("queue0")));
  });
  for (int batch = 0; batch < 5; ++batch) {
    queue.enqueue(file.at(message("keys", batch)));
    CHECK(queue.keys().to_vector() == test::transposed(file.at(message("queue", batch + 1))).to_vector());
    CHECK(state_of(queue).at("pointer").to_vector() == file.at(message("ptr", batch + 1)).to_vector());
  }
}

TEST_CASE("a queue is no longer than the other images, in whole batches, and holds one batch at least") {
  CHECK(queue_size(65536, 5994, 128) == 5760);  // floor(5866 / 128) * 128
  CHECK(queue_size(1024, 5994, 128) == 1024);
  CHECK(queue_size(65536, 256, 128) == 128);
  CHECK(queue_size(65536, 128, 128) == 128);
  CHECK(queue_size(65536, 100, 128) == 128);
  CHECK(queue_size(16, 5994, 128) == 128);
}

TEST_CASE("the bank fills, then forgets the oldest; `with` leaves the bank itself as it was") {
  FeatureBank empty(5, 2, DType::f64);
  CHECK(empty.filled() == 0);
  CHECK_THROWS_AS(empty.spread(VarianceCriterion::raw), ShapeError);
  FeatureBank one = empty.with({counted(1, 3)});
  CHECK(empty.filled() == 0);
  CHECK(firsts(one.filled_rows()) == Numbers{1, 2, 3});
  FeatureBank two = one.with({counted(4, 3)});
  CHECK(firsts(one.filled_rows()) == Numbers{1, 2, 3});
  CHECK(firsts(two.filled_rows()) == Numbers{6, 2, 3, 4, 5});
  CHECK(two.filled() == 5);
  CHECK(firsts(two.with({counted(7, 2)}).filled_rows()) == Numbers{6, 7, 8, 4, 5});
  CHECK_THROWS_AS(FeatureBank(1, 2, DType::f64), InputError);
}

TEST_CASE("of a batch larger than the bank the last rows stay, and the oldest of them goes first") {
  FeatureBank bank = FeatureBank(4, 2, DType::f64).with({counted(1, 3)}).with({counted(10, 6)});
  Numbers rows = firsts(bank.filled_rows());
  std::sort(rows.begin(), rows.end());
  CHECK(rows == Numbers{12, 13, 14, 15});
  rows = firsts(bank.with({counted(20, 1)}).filled_rows());
  std::sort(rows.begin(), rows.end());
  CHECK(rows == Numbers{13, 14, 15, 20});
}

TEST_CASE("s, section 3.4, under every reading of the variance") {
  FeatureBank bank = FeatureBank(8, 10, DType::f64).with({expected("bank.rows", {6, 10})});  // two rows are still free
  check_close(bank.spread(VarianceCriterion::raw), expected("bank.raw.s"));
  check_close(bank.spread(VarianceCriterion::quantile), expected("bank.raw.s"));
  check_close(bank.spread(VarianceCriterion::column_l2), expected("bank.column_l2.s"));
  check_close(bank.spread(VarianceCriterion::row_l2_std), expected("bank.row_l2_std.s"));
  check_close(bank.spread(VarianceCriterion::cv), expected("bank.cv.s"));
  CHECK(bank.rms_std().item() == doctest::Approx(expected("bank.rms_std")[0]).epsilon(1e-13));
}

TEST_CASE("s of dimensions that never move, or never wake, is 0 under every reading") {
  std::vector<double> rows = {3, 0, 3, 0, 3, 0, 3, 0};
  FeatureBank bank = FeatureBank(4, 2, DType::f64).with({Tensor::from(rows, {4, 2})});
  for (auto criterion : {VarianceCriterion::raw, VarianceCriterion::quantile, VarianceCriterion::column_l2, VarianceCriterion::row_l2_std, VarianceCriterion::cv})
    check_close(bank.spread(criterion), {0, 0}, 0);
}
