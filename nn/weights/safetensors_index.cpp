// The tensors of a safetensors file: eight bytes of header length, a JSON header, the data.
#include <algorithm>
#include <utility>

#include "nn/weights/safetensors_header.h"
#include "nn/weights/weights_index.h"
#include "tensor/errors.h"

namespace plumage {

namespace {

constexpr int64_t kLargestHeader = 100'000'000;  // the format's own limit

/// The entry as a tensor, or why it cannot be one.
StoredTensor located(const InputFile& file, const SafetensorsEntry& entry, int64_t data_begin) {
  auto bad = [&](const std::string& why) { file.refuse("tensor " + entry.name + ": " + why); };
  const StoredTypeInfo* type = find_safetensors_type(entry.dtype);
  if (!type) bad("type " + entry.dtype + " is not supported");
  int64_t data_bytes = file.size() - data_begin;
  if (entry.begin > entry.end || entry.end > data_bytes)
    bad(message("offsets ", entry.begin, " to ", entry.end, " lie outside the file's ", data_bytes,
                " bytes of data"));
  int64_t bytes = type->bytes, beside_zero = 1;
  bool fits = true;
  for (int64_t size : entry.shape) {
    fits = fits && !__builtin_mul_overflow(bytes, size, &bytes);
    fits = fits && !__builtin_mul_overflow(beside_zero, std::max<int64_t>(size, 1), &beside_zero);
  }
  if (!fits || bytes != entry.end - entry.begin)
    bad(message("shape ", shape_text(entry.shape), " of ", entry.dtype, " does not take the ",
                entry.end - entry.begin, " bytes of its offsets"));
  return {entry.name, type->type, entry.shape, dense_strides(entry.shape), data_begin + entry.begin};
}

/// Every byte of the data belongs to one tensor.
void check_neighbours(const InputFile& file, const SafetensorsHeader& header, int64_t data_bytes) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : header.entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  int64_t end = 0;
  for (const SafetensorsEntry* entry : order) {
    if (entry->begin < end)
      file.refuse(message("tensor ", entry->name, ": its data overlaps another tensor's"));
    if (entry->begin > end)
      file.refuse(message("bytes ", end, " to ", entry->begin, " of the data belong to no tensor"));
    end = entry->end;
  }
  if (end != data_bytes)
    file.refuse(message("bytes ", end, " to ", data_bytes, " of the data belong to no tensor"));
}

}  // namespace

WeightsIndex index_safetensors(const InputFile& file) {
  if (file.size() < 8)
    file.refuse(message("is neither a safetensors nor a PyTorch file: only ", file.size(), " bytes"));
  uint64_t stated;
  file.read(0, &stated, 8);
  if (stated > uint64_t(kLargestHeader) || int64_t(stated) > file.size() - 8)
    file.refuse(message("is neither a PyTorch nor a safetensors file, or is truncated: its header would be ",
                        stated, " bytes, the file has ", file.size()));
  std::string text(size_t(stated), '\0');
  file.read(8, text.data(), int64_t(stated));
  SafetensorsHeader header = parse_safetensors_header(text, file.name());
  int64_t data_begin = 8 + int64_t(stated);
  WeightsIndex index;
  index.container = "safetensors";
  for (const SafetensorsEntry& entry : header.entries)
    index.tensors.push_back(located(file, entry, data_begin));
  check_neighbours(file, header, file.size() - data_begin);
  index.metadata = std::move(header.metadata);
  return index;
}

}  // namespace plumage
