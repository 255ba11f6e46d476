// Rules with planted errors, each beside the right one. gradcheck must reject every fault in the words that
// help, for several seeds and as a full Jacobian, and pass the rule without a fault ("").
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "autograd/functions.h"
#include "autograd/gradcheck.h"
#include "autograd/tape.h"

namespace plumage {

inline Tensor random(const Shape& shape, uint64_t step = 0) {
  return ops::normal(shape, {11, Purpose::test, step}, 0, 1, DType::f64);
}

inline Tensor positive(const Shape& shape, uint64_t step = 0) {
  return ops::uniform(shape, {12, Purpose::test, step}, 0.5, 2, DType::f64);
}

/// A function whose backward has the named fault.
using Mutable = std::function<Function(const std::string& fault)>;

inline void reject_all(const Mutable& make, const std::vector<Tensor>& inputs,
                       const std::vector<std::string>& faults) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    GradcheckOptions options;
    options.seed = seed;
    options.directions = 2;
    options.full_jacobian = seed == 3;
    CAPTURE(seed);
    GradcheckReport right = gradcheck(make(""), inputs, options);
    CHECK_MESSAGE(right.ok, right.failure);
    for (const std::string& fault : faults) {
      GradcheckReport wrong = gradcheck(make(fault), inputs, options);
      INFO(fault, ": ", wrong.failure);
      CHECK_FALSE(wrong.ok);
      CHECK(wrong.failure.find("input ") != std::string::npos);
      CHECK(wrong.failure.find("element [") != std::string::npos);
    }
  }
}

/// True if the plain sum of f's outputs, differentiated by the faulty rule, agrees with differences.
inline bool plain_sum_passes(const Function& f, const std::vector<Tensor>& inputs) {
  return gradcheck([&](const std::vector<Var>& x) { return std::vector{sum(f(x)[0])}; }, inputs).ok;
}

}  // namespace plumage
