// Names and layouts between a module and a file.
#include "nn/weights/state.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tensor/ops.h"

namespace plumage {

namespace {

/// [A, D1, D2, D3] with the last dimension moved behind the first, or the second to the end.
Tensor permute_filters(const Tensor& w, bool last_to_second) {
  if (w.rank() != 4) throw ShapeError("convolution weights have four dimensions, got " + w.shape().str());
  int64_t k = w.size(0), channels = w.size(last_to_second ? 3 : 1);
  int64_t rows = w.size(last_to_second ? 1 : 2), columns = w.size(last_to_second ? 2 : 3),
          area = rows * columns;
  Tensor y = Tensor::empty(
      last_to_second ? Shape{k, channels, rows, columns} : Shape{k, rows, columns, channels}, w.dtype());
  visit_any(w.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = w.data<T>();
    T* to = y.data<T>();
    for (int64_t i = 0; i < k; ++i)
      for (int64_t p = 0; p < area; ++p)
        for (int64_t c = 0; c < channels; ++c) {
          int64_t inner = (i * area + p) * channels + c, outer = (i * channels + c) * area + p;
          if (last_to_second)
            to[outer] = from[inner];
          else
            to[inner] = from[outer];
        }
  });
  return y;
}

/// Whether `name` fits a pattern in which * stands for any letters.
bool fits(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*')
      star = p++, resume = n;
    else if (p < pattern.size() && pattern[p] == name[n])
      ++p, ++n;
    else if (star != std::string_view::npos)
      p = star + 1, n = ++resume;
    else
      return false;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool fits_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return fits(p, name); });
}

/// "encoder" and "encoder." both mean names that begin with "encoder."; "param/" stays as it is.
std::string closed(const std::string& prefix) {
  bool open = !prefix.empty() && prefix.back() != '.' && prefix.back() != '/';
  return open ? prefix + "." : prefix;
}

Shape file_shape(const Shape& s) { return s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s; }

/// " 3 missing (a, b, ..);" of those that no pattern allows, or nothing.
std::string some_of(const char* what, const std::vector<std::string>& names) {
  constexpr size_t kShown = 4;
  if (names.empty()) return "";
  std::string text = message(" ", names.size(), " ", what, " (");
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", " : "") + names[i];
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';  // a hostile name must not break the line
  return text + (names.size() > kShown ? ", ..);" : ");");
}

/// Numbers that are not finite once they are of type `as`.
int64_t not_finite(const Tensor& t, DType as) {
  int64_t count = 0;
  if (t.dtype() == DType::f32) {  // by the bits, which vectorises
    const auto* bits = static_cast<const uint32_t*>(t.raw());
    for (int64_t i = 0; i < t.count(); ++i) count += (bits[i] & 0x7f800000u) == 0x7f800000u;
  } else if (is_float(t.dtype())) {
    visit_float(t.dtype(), [&](auto zero) {
      for (auto v : t.span<decltype(zero)>())
        count += !std::isfinite(as == DType::f64 ? double(v) : double(float(v)));
    });
  }
  return count;
}

/// A file's numbers into the module's tensor: type and order of filters as there.
void fill_from(Tensor target, const Tensor& from) {
  Tensor typed = from.dtype() == target.dtype() ? from : ops::cast(from, target.dtype());
  bool filters =
      typed.rank() == 4 && typed.size(2) * typed.size(3) > 1;  // 1x1 filters are the same in both orders
  target.copy_from(filters ? from_oihw(typed) : typed.reshape(target.shape()));
}

}  // namespace

Tensor as_stored(const Tensor& value) {
  Tensor here = value.to(Device{});
  if (here.rank() == 4) return to_oihw(here);
  return here.same_memory(value) ? here.clone() : here;
}
Tensor to_oihw(const Tensor& w) { return permute_filters(w, true); }
Tensor from_oihw(const Tensor& w) { return permute_filters(w, false); }

LoadReport load_state(Module& module, const std::map<std::string, Tensor>& tensors,
                      const LoadOptions& options) {
  const std::string prefix = closed(options.prefix);
  LoadReport report;
  std::vector<std::string> missing, unexpected, mismatched;  // those that are errors
  std::set<std::string> known;
  struct Pair {
    std::string name;
    Tensor target;
    const Tensor* from;
  };
  std::vector<Pair> fill;  // nothing is changed before all is checked
  for (auto& [name, value] : module.state()) {
    known.insert(name);
    auto found = tensors.find(prefix + name);
    if (found == tensors.end()) {
      report.missing.push_back(name);
      if (!fits_any(options.allow_missing, name)) missing.push_back(name);
      continue;
    }
    const Tensor& from = found->second;
    Shape wanted = file_shape(value.shape());
    bool same_kind = is_float(value.dtype()) ? is_float(from.dtype()) : from.dtype() == value.dtype();
    if (from.shape() == wanted && same_kind) {
      fill.push_back({name, value.value(), &from});
      continue;
    }
    report.mismatched.push_back(message(name, ": file ", from.shape(), " ", name_of(from.dtype()),
                                        ", module ", wanted, " ", name_of(value.dtype())));
    if (!fits_any(options.allow_missing, name) || !fits_any(options.allow_unexpected, name))
      mismatched.push_back(report.mismatched.back());
  }
  for (const auto& [full, tensor] : tensors) {
    if (!full.starts_with(prefix)) continue;
    std::string name = full.substr(prefix.size());
    if (known.contains(name) || name.ends_with("num_batches_tracked")) continue;
    report.unexpected.push_back(name);
    if (!fits_any(options.allow_unexpected, name)) unexpected.push_back(name);
  }
  report.matched = int64_t(fill.size());
  if (!missing.empty() || !unexpected.empty() || !mismatched.empty() || fill.empty()) {
    std::string text = options.file_name + (options.file_name.empty() ? "" : ": ") +
                       "the weights do not fit:" + some_of("mismatched", mismatched) +
                       some_of("missing", missing) + some_of("unexpected", unexpected);
    text += message(" ", fill.size(), " of ", known.size(), " names match");
    if (!prefix.empty()) text += " under the prefix '" + prefix + "'";
    throw InputError(text + "; check the architecture, its width and the file");
  }
  for (auto& [name, target, from] : fill)
    if (int64_t bad = not_finite(*from, target.dtype()); bad > 0)
      throw InputError(message(options.file_name, options.file_name.empty() ? "" : ": ", bad, " of the ",
                               from->count(), " numbers of ", prefix, name,
                               " are not finite; the file is damaged or its training broke"));
  for (auto& [name, target, from] : fill) {
    if (!name.ends_with("running_var")) continue;
    for (double v : from->to_vector())
      if (v < 0)
        throw InputError(message(options.file_name, options.file_name.empty() ? "" : ": ", prefix, name, " holds ", v,
                                 ", and a variance is not negative; the file is damaged"));
  }
  for (auto& [name, target, from] : fill) fill_from(target, *from);
  return report;
}

void store_state(Module& module, const std::string& prefix, std::map<std::string, Tensor>& tensors) {
  for (auto& [name, value] : module.state())
    tensors[closed(prefix) + name] = as_stored(value.value());
}

}  // namespace plumage
