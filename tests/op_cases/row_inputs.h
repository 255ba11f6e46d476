// The tensors that a row is run on: numbers of the input's domain, in memory that is not aligned and can be
// checked. Next: op_runner.cpp.
#pragma once
#include <string>
#include <vector>

#include "tests/op_cases/op_case.h"

namespace plumage::op_cases {

/// A number that only this name has.
uint64_t seed_of(const std::string& name);

/// A view into a buffer that has one more row before and behind, so that it is not aligned, and can be
/// checked.
struct PaddedInput {
  Tensor buffer, view, before;
  PaddedInput(const Input& input, DType type, PhiloxKey key);
};

/// Of every input of the row, in this type, or f32 where its role is beside bf16.
std::vector<PaddedInput> padded_inputs(const Row& row, DType type);
std::vector<Tensor> views_of(const std::vector<PaddedInput>& padded);

inline bool differentiated(Role role) { return role == Role::data || role == Role::parameter; }

}  // namespace plumage::op_cases
