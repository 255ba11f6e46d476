// What one row of the op tests is. A family file (pointwise.cpp, conv2d.cpp, ...) lists its rows and error
// rows; op_runner checks every property of each; op_cases_test.cpp is the list of families. docs/add-an-op.md
// walks through it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "tensor/backend/kernels.h"

namespace plumage::op_cases {

/// Numbers that a formula reads and makes: doubles, and a shape for them.
struct Values {
  Shape shape;
  std::vector<double> data;
  Values() = default;
  explicit Values(const Shape& s, double v = 0) : shape(s), data(size_t(s.count()), v) {}
  double& operator[](int64_t i) { return data.at(size_t(i)); }
  double operator[](int64_t i) const { return data.at(size_t(i)); }
  int64_t count() const { return int64_t(data.size()); }
  int64_t columns() const { return shape[-1]; }
  int64_t rows() const { return columns() ? count() / columns() : 0; }
};

using Formula = std::function<std::vector<Values>(const std::vector<Values>&)>;

/// Where an input's numbers come from. All are functions of the row's name and the input's place.
enum class Domain : uint8_t {
  normal,          ///< N(0, 1)
  positive,        ///< 0.5 + |N(0, 1)|
  away_from_zero,  ///< at least 0.1 in size: off the kinks of relu and abs
  distinct,        ///< in [-4, 4), no two alike in f64: off the ties of max
  ties,            ///< -1, 0, 1
  offset,          ///< 50 + N(0, 1): what a one-pass variance gets wrong
  masked,          ///< a third is -inf; the whole first row too
  some_nan,        ///< one in twenty is NaN, the rest N(0, 1)
  specials,        ///< NaN, +-inf, +-0, large, tiny among N(0, 1)
};

enum class Role : uint8_t {
  data,       ///< of the row's type, differentiated
  parameter,  ///< f32 beside bf16 (gamma, beta), differentiated
  constant,   ///< of the row's type, no gradient
  statistic,  ///< f32 beside bf16, no gradient
};

struct Input {
  Shape shape;
  Domain domain = Domain::normal;
  Role role = Role::data;
};

/// How close two computations of a row must be (numbers: op_runner.cpp).
enum class Tolerance : uint8_t {
  exact,      ///< the same bits: copies, comparisons, random numbers
  pointwise,  ///< a few roundings
  sum,        ///< sums of some hundred terms in f32
  winograd,   ///< the same through Winograd's transforms in f32, which round twice as much (winograd_transforms.h, F5)
};

enum class Gradient : uint8_t {
  checked,   ///< gradcheck in f64, and the fast kernels' gradients against ref's
  compared,  ///< fast against ref only: a real layer (too slow in f64), or at ties, where a gradient is no
             ///< derivative
  none,      ///< not differentiable
};

inline const std::vector<DType> kFloatTypes = {DType::f64, DType::f32, DType::bf16};

/// One case of one op.
struct Row {
  std::string name;  ///< unique; begins with the op's name
  Op op;             ///< the op that it is about; the run must have called it
  std::vector<Input> inputs;
  Function apply;   ///< the op through autograd/functions.h (or ops.h, where it has no gradient)
  Formula formula;  ///< the same in doubles, written without a look at ref
  Tolerance tolerance = Tolerance::pointwise;
  Gradient gradient = Gradient::checked;
  std::vector<DType> types = kFloatTypes;
  bool specials = false;  ///< NaN and infinities are expected where the formula has them
  bool empty = false;     ///< the outputs have no elements
};

/// The same row with NaN in its inputs of the row's type: they must come out where the formula has them, and
/// only there.
inline Row with_nan(Row row) {
  row.name += " NaN";
  row.specials = true;
  row.gradient = Gradient::compared;
  for (Input& input : row.inputs)
    if (input.role == Role::data) input.domain = Domain::some_nan;
  return row;
}

/// A call that must throw, and what its message must hold.
struct ErrorRow {
  std::string name;
  std::vector<std::string> words;
  std::function<void()> call;
};

struct Family {
  std::string name;
  std::vector<Row> rows;
  std::vector<ErrorRow> errors;
};

Family fill_family();
Family pointwise_family();
Family reduce_family();
Family softmax_family();
Family rows_family();
Family matmul_family();
Family conv2d_family();
Family conv2d_joined_family();  ///< with another gradient that theirs is added to, with statistics
Family pool_family();
Family batch_norm_family();
Family update_family();

}  // namespace plumage::op_cases
