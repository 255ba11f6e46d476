#include "nn/weights/encoder_file.h"

#include <algorithm>
#include <set>

namespace plumage {

namespace {

using Names = std::map<std::string, const StoredTensor*>;

/// Children of an nn.Sequential made of a ResNet's parts, by number: torchvision's with activation and
/// pooling as 2 and 3, lightly's own ResNet without.
struct Numbering {
  const char* first_block;  ///< that tells them apart
  std::map<std::string, std::string> names;
};
const Numbering kNumberings[] = {
    {"4.0.conv1.weight",
     {{"0", "conv1"}, {"1", "bn1"}, {"4", "layer1"}, {"5", "layer2"}, {"6", "layer3"}, {"7", "layer4"}}},
    {"2.0.conv1.weight",
     {{"0", "conv1"}, {"1", "bn1"}, {"2", "layer1"}, {"3", "layer2"}, {"4", "layer3"}, {"5", "layer4"}}}};

struct Candidate {
  std::string prefix;
  const Numbering* numbering = nullptr;
};

bool has(const Names& names, const std::string& name) { return names.contains(name); }

/// What `name` begins with if it ends with `end` at the start of a component.
bool cut_end(const std::string& name, const std::string& end, std::string* rest) {
  if (!name.ends_with(end)) return false;
  *rest = name.substr(0, name.size() - end.size());
  return rest->empty() || rest->back() == '.';
}

bool is_passed_over(const std::string& name) {
  return name.starts_with("queue") || name.starts_with("optim");
}

std::vector<Candidate> candidates_in(const Names& names) {
  std::map<std::string, Candidate> found;
  std::string prefix;
  for (const auto& [name, tensor] : names) {
    for (const char* sign : {"layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer4.0.conv1.weight"})
      if (cut_end(name, sign, &prefix)) found[prefix] = {prefix, nullptr};
    for (const Numbering& numbering : kNumberings)  // the first that fits: a 2.0 beside a 4.0 is lightly's
      if (cut_end(name, numbering.first_block, &prefix) && has(names, prefix + "0.weight") &&
          has(names, prefix + "1.running_mean"))
        found[prefix] = {prefix,
                         has(names, prefix + kNumberings[1].first_block) ? &kNumberings[1] : &kNumberings[0]};
  }
  std::vector<Candidate> candidates;
  for (auto& [unused, candidate] : found)
    if (!is_passed_over(candidate.prefix)) candidates.push_back(candidate);
  return candidates;
}

/// How little a prefix sounds like the network that is meant: copies that follow another, then the student of
/// a teacher.
int distance(const std::string& prefix) {
  int worst = 0;
  for (size_t begin = 0; begin < prefix.size();) {
    size_t end = prefix.find('.', begin);
    std::string part = prefix.substr(begin, end - begin);
    begin = end + 1;
    auto holds = [&](const char* word) { return part.find(word) != std::string::npos; };
    if (holds("momentum") || holds("target") || holds("key") || holds("synthetic") || part == "ema" ||
        part.ends_with("_ema") || part.starts_with("ema_") || part.ends_with("_k") || part.ends_with("_m"))
      worst = std::max(worst, 2);
    if (holds("student")) worst = std::max(worst, 1);
  }
  return worst;
}

Candidate choose(std::vector<Candidate> candidates, const std::string& file) {
  if (candidates.empty())
    throw InputError(file + ": holds no ResNet-18, 34 or 50: no name ends in layer1.0.conv1.weight");
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return distance(a.prefix) < distance(b.prefix);
  });
  if (candidates.size() > 1 && distance(candidates[0].prefix) == distance(candidates[1].prefix))
    throw InputError(message(file, ": holds several encoders, such as '", candidates[0].prefix, "' and '",
                             candidates[1].prefix, "'; say which by --prefix"));
  return candidates[0];
}

/// torchvision's name for what stands under the prefix.
std::string torchvision_name(std::string name, const Numbering* numbering) {
  if (size_t at = name.find(".shortcut."); at != std::string::npos)
    name.replace(at, 10, ".downsample.");  // lightly's own
  if (!numbering) return name;
  size_t dot = name.find('.');
  auto known = numbering->names.find(name.substr(0, dot));
  return known == numbering->names.end() || dot == std::string::npos ? name
                                                                     : known->second + name.substr(dot);
}

ResNetOptions options_of(const Names& names) {
  ResNetOptions options;
  auto shape_of = [&](const std::string& name) {
    auto found = names.find(name);
    return found == names.end() ? std::vector<int64_t>{} : found->second->shape;
  };
  std::vector<int64_t> stem = shape_of("conv1.weight"), norm = shape_of("bn1.weight");
  if (stem.size() == 4 && stem[2] == 3) options.stem = Stem::small;
  auto believe = [&](int64_t width) {
    if (width >= 1 && width <= 4096) options.width = width;
  };
  if (norm.size() == 1) believe(norm[0]);
  if (stem.size() == 4) believe(stem[0]);
  auto any = [&](const std::string& prefix) {
    auto at = names.lower_bound(prefix);
    return at != names.end() && at->first.starts_with(prefix);
  };
  if (any("layer1.0.conv3.") || any("layer1.1.conv3."))
    options.arch = "resnet50";
  else
    options.arch = any("layer1.2.") || any("layer3.5.") ? "resnet34" : "resnet18";
  return options;
}

}  // namespace

EncoderInFile find_encoder(const WeightsIndex& index, const std::string& file, const std::string& prefix) {
  std::string wanted = prefix.empty() || prefix.ends_with('.') ? prefix : prefix + ".";
  Names names;
  std::vector<Candidate> candidates;
  for (const auto* tensors :
       {&index.tensors, &index.others}) {  // the others only where the prefix names one of them
    if (!candidates.empty() || (tensors == &index.others && wanted.empty())) break;
    names.clear();
    for (const StoredTensor& tensor : *tensors) names[tensor.name] = &tensor;
    candidates = candidates_in(names);
    std::erase_if(candidates, [&](const Candidate& c) { return !c.prefix.starts_with(wanted); });
  }
  if (candidates.empty() && !wanted.empty())
    throw InputError(file + ": holds no ResNet under the prefix '" + wanted + "'");
  Candidate chosen = choose(candidates, file);
  auto of_another = [&](const std::string& name) {
    return std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& other) {
      return other.prefix.size() > chosen.prefix.size() && name.starts_with(other.prefix);
    });
  };
  EncoderInFile found{chosen.prefix, {}, {}, {}};
  for (const auto* tensors : {&index.tensors, &index.others})
    for (const StoredTensor& tensor : *tensors) {
      auto at = names.find(tensor.name);
      bool ours = at != names.end() && at->second == &tensor && tensor.name.starts_with(chosen.prefix);
      std::string inner = ours ? tensor.name.substr(chosen.prefix.size()) : "";
      if (!ours || of_another(tensor.name) || is_passed_over(inner))
        found.passed_over.push_back(tensor.name);
      else if (!inner.ends_with("num_batches_tracked"))
        found.tensors[torchvision_name(inner, chosen.numbering)] = &tensor;
    }
  found.options = options_of(found.tensors);
  return found;
}

LoadReport load_encoder_state(Module& encoder, const WeightsFile& file, const EncoderInFile& found,
                              LoadOptions options) {
  std::set<std::string> known;
  for (auto& [name, value] : encoder.state()) known.insert(name);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, stored] : found.tensors)
    tensors[name] = known.contains(name) ? file.read(*stored) : Tensor();
  options.file_name = file.name();
  for (const char* head : {"fc.*", "projector*", "projection*", "predict*", "prototypes*"})
    options.allow_unexpected.push_back(head);
  return load_state(encoder, tensors, options);
}

std::string describe(const WeightsFile& file, const EncoderInFile& found, const LoadReport& report) {
  auto first_of = [](const std::vector<std::string>& names) {
    return names.empty() ? "" : message(" (", names[0], names.size() > 1 ? ", .." : "", ")");
  };
  std::string text = message(file.name(), ": ", file.index().container, ", ", found.options.arch,
                             " of width ", found.options.width);
  if (!file.index().state.empty()) text += " in " + file.index().state;
  if (!found.prefix.empty()) text += " under " + found.prefix;
  text += message("; ", report.matched, " names matched, ", report.missing.size(), " missing",
                  first_of(report.missing), ", ", report.unexpected.size(), " not needed",
                  first_of(report.unexpected), ", ", report.mismatched.size(), " mismatched",
                  first_of(report.mismatched), ", ", found.passed_over.size(), " passed over",
                  first_of(found.passed_over));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';  // names are the file's
  return text;
}

}  // namespace plumage
