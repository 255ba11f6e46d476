#include "tests/cudnn/recorded_layers.h"

#include <map>

#include "autograd/tape.h"
#include "nn/decoder.h"
#include "tensor/context.h"

namespace plumage::test {
namespace {

using cuda::ConvPass;
using cuda::ConvProblem;

std::map<ConvProblem, std::string>* notes = nullptr;
std::string network;

void note(ConvProblem p) {
  std::string& users = (*notes)[p];
  if (users.find(network) == std::string::npos) users += (users.empty() ? "" : ", ") + network;
}

// A kernel that does nothing, made from the op's own arguments.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
Kernels idle_table() {
  Kernels table;
#define OP(name, arguments, keeps) table.name = [] arguments {};
#include "tensor/ops.def"
#undef OP
  return table;
}
#pragma GCC diagnostic pop

Kernels noting_table() {
  Kernels table = idle_table();
  table.conv2d = [](Context&, In x, In w, Out y, Window window) {
    note(cuda::conv_problem(ConvPass::forward, x.dtype, x.shape, w.shape, y.shape, window));
  };
  table.conv2d_stats = [](Context&, In x, In w, Out y, Out, Out, Window window) {  // one kernel, or the convolution and another
    for (ConvPass pass : {ConvPass::forward, ConvPass::stats}) note(cuda::conv_problem(pass, x.dtype, x.shape, w.shape, y.shape, window));
  };
  table.conv2d_dx = [](Context&, In dy, In w, In onto, Out dx, Window window, NormSource) {
    ConvProblem p = cuda::conv_problem(ConvPass::dx, dy.dtype, dx.shape, w.shape, dy.shape, window);
    p.onto = bool(onto);
    note(p);
  };
  table.conv2d_dw = [](Context&, In x, In dy, Out dw, Window window) {
    note(cuda::conv_problem(ConvPass::dw, x.dtype, x.shape, dw.shape, dy.shape, window));
  };
  table.conv2d_frozen = [](Context&, In x, In w, In, In residual, Out y, Window window,
                           Activation activation, FilterOrder*) {
    ConvProblem p = cuda::conv_problem(ConvPass::frozen, x.dtype, x.shape, w.shape, y.shape, window);
    p.residual = bool(residual), p.relu = activation == Activation::relu;
    note(p);
  };
  return table;
}

/// Forward, backward, and forward again with frozen statistics.
template <class Network>
void visit_network(const std::string& name, Network& net, const Var& x, auto&& forward) {
  network = name;
  StatisticsUpdates updates;
  Var y = forward(net, x, Pass::train(updates));
  backward(y, Tensor::empty(y.shape(), y.dtype()));
  net.set_needs_grad(false);
  forward(net, Var(x.value()), Pass::eval());
}

void visit_pair(const std::string& name, const ResNetOptions& options, const DecoderOptions& decoder_options,
                int64_t px) {
  Init init;
  ResNet encoder(options, init);
  visit_network(name, encoder, Var(Tensor::empty({1, px, px, 3})),
                [](ResNet& net, const Var& x, const Pass& pass) { return net.features(x, pass); });
  auto decoder = make_decoder(decoder_options, options, encoder.feature_count(), px, init);
  visit_network(name + "'s decoder", *decoder, Var(Tensor::empty({1, encoder.feature_count()}), true),
                [](Decoder& net, const Var& v, const Pass& pass) { return net.forward(v, pass); });
}

}  // namespace

std::vector<Layer> recorded_layers() {
  std::map<ConvProblem, std::string> found;
  const Kernels table = noting_table();
  notes = &found;
  Context::cpu().stand_in = &table;
  visit_pair("resnet50", {.arch = "resnet50"}, {.arch = "resnet"}, 224);
  visit_pair("resnet18", {.arch = "resnet18"}, {.arch = "resnet"}, 224);
  visit_pair("resnet18 64 px", {.arch = "resnet18"}, {.arch = "light"}, 64);
  visit_pair("resnet18 small stem", {.arch = "resnet18", .stem = Stem::small}, {.arch = "residual"}, 64);
  Context::cpu().stand_in = nullptr;
  notes = nullptr;
  std::vector<Layer> layers;
  for (auto& [problem, users] : found) layers.push_back({problem, users});
  return layers;
}

}  // namespace plumage::test
