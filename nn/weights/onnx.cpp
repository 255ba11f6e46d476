// Field numbers and operators: onnx.proto and Operators.md of ONNX 1.12 (IR version 8, operator set 17).
#include "nn/weights/onnx.h"

#include <map>

#include "nn/weights/output_file.h"
#include "nn/weights/protobuf_writer.h"
#include "nn/weights/state.h"
#include "tensor/ops.h"

namespace plumage {

namespace {

// Fields of ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto and what is in it.
namespace model {
constexpr int ir_version = 1, producer = 2, graph = 7, opset = 8;
}
namespace opset {
constexpr int version = 2;
}
namespace graph {
constexpr int node = 1, name = 2, initializer = 5, input = 11, output = 12;
}
namespace node {
constexpr int input = 1, output = 2, name = 3, op_type = 4, attribute = 5;
}
namespace attribute {
constexpr int name = 1, f = 2, i = 3, ints = 8, type = 20;
enum { real = 1, integer = 2, integers = 7 };
}  // namespace attribute
namespace tensor_proto {
constexpr int dims = 1, data_type = 2, name = 8, raw_data = 9;
}
namespace value_info {
constexpr int name = 1, type = 2;
}
namespace type_proto {
constexpr int tensor_type = 1, elem_type = 1, shape = 2, dim = 1, dim_value = 1, dim_param = 2;
}
constexpr uint64_t kFloat = 1;  // TensorProto.DataType
constexpr int64_t kLargest = int64_t(1) << 31;

ProtobufMessage integer(const char* name, int64_t value) {
  return ProtobufMessage()
      .text(attribute::name, name)
      .number(attribute::i, uint64_t(value))
      .number(attribute::type, attribute::integer);
}
ProtobufMessage real(const char* name, float value) {
  return ProtobufMessage()
      .text(attribute::name, name)
      .real(attribute::f, value)
      .number(attribute::type, attribute::real);
}
ProtobufMessage integers(const char* name, std::initializer_list<int64_t> values) {
  ProtobufMessage message =
      ProtobufMessage().text(attribute::name, name).number(attribute::type, attribute::integers);
  for (int64_t value : values) message.number(attribute::ints, uint64_t(value));
  return message;
}

/// A tensor whose dimensions are numbers, or names of what is free.
ProtobufMessage float_value(const std::string& name, const std::vector<std::string>& dimensions) {
  ProtobufMessage shape;
  for (const std::string& d : dimensions) {
    bool fixed = d.find_first_not_of("0123456789") == std::string::npos;
    ProtobufMessage dimension;
    if (fixed)
      dimension.number(type_proto::dim_value, uint64_t(std::stoll(d)));
    else
      dimension.text(type_proto::dim_param, d);
    shape.message(type_proto::dim, dimension);
  }
  ProtobufMessage tensor =
      ProtobufMessage().number(type_proto::elem_type, kFloat).message(type_proto::shape, shape);
  return ProtobufMessage()
      .text(value_info::name, name)
      .message(value_info::type, ProtobufMessage().message(type_proto::tensor_type, tensor));
}

/// Node after node; every result is named for the layer that makes it, as every weight is.
class Graph {
 public:
  explicit Graph(ResNet& encoder) : options_(encoder.options()), layout_(layout_of(options_)) {
    store_state(encoder, "", state_);
  }

  std::string model() {
    std::string y =
        relu(norm("bn1", convolution("conv1", "images", options_.stem == Stem::imagenet ? 2 : 1)));
    if (options_.stem == Stem::imagenet)
      y = add(
          "maxpool", "MaxPool", {y},
          {integers("kernel_shape", {3, 3}), integers("strides", {2, 2}), integers("pads", {1, 1, 1, 1})});
    for (int stage = 0; stage < 4; ++stage)
      for (int64_t i = 0; i < layout_.blocks[size_t(stage)]; ++i)
        y = block(plumage::message("layer", stage + 1, ".", i, "."), y, stage > 0 && i == 0 ? 2 : 1);
    y = add("avgpool", "GlobalAveragePool", {y}, {});
    add("features", "Flatten", {y}, {integer("axis", 1)});
    int64_t features = (options_.width << 3) * layout_.expansion;
    graph_.text(graph::name, options_.arch);
    graph_.message(graph::input, float_value("images", {"batch", "3", "height", "width"}));
    graph_.message(graph::output, float_value("features", {"batch", std::to_string(features)}));
    return ProtobufMessage()
        .number(model::ir_version, 8)
        .text(model::producer, "plumage")
        .message(model::graph, graph_)
        .message(model::opset, ProtobufMessage().number(opset::version, 17))
        .bytes();
  }

 private:
  std::string add(const std::string& name, const char* op, const std::vector<std::string>& inputs,
                  const std::vector<ProtobufMessage>& attributes) {
    ProtobufMessage message;
    for (const std::string& input : inputs) message.text(node::input, input);
    message.text(node::output, name).text(node::name, name).text(node::op_type, op);
    for (const ProtobufMessage& one : attributes) message.message(node::attribute, one);
    graph_.message(graph::node, message);
    return name;
  }

  std::string weight(const std::string& name) {
    Tensor t = ops::cast(state_.at(name), DType::f32);
    ProtobufMessage tensor;
    for (int i = 0; i < t.rank(); ++i) tensor.number(tensor_proto::dims, uint64_t(t.size(i)));
    tensor.number(tensor_proto::data_type, kFloat).text(tensor_proto::name, name);
    tensor.text(tensor_proto::raw_data, {static_cast<const char*>(t.raw()), size_t(t.bytes())});
    graph_.message(graph::initializer, tensor);
    return name;
  }

  std::string convolution(const std::string& name, const std::string& x, int64_t stride) {
    int64_t kernel = state_.at(name + ".weight").size(2), pad = kernel / 2;
    return add(name, "Conv", {x, weight(name + ".weight")},
               {integers("kernel_shape", {kernel, kernel}), integers("strides", {stride, stride}),
                integers("pads", {pad, pad, pad, pad})});
  }
  std::string norm(const std::string& name, const std::string& x) {
    return add(name, "BatchNormalization",
               {x, weight(name + ".weight"), weight(name + ".bias"), weight(name + ".running_mean"),
                weight(name + ".running_var")},
               {real("epsilon", 1e-5f)});
  }
  std::string relu(const std::string& x) { return add(x + ".relu", "Relu", {x}, {}); }

  std::string block(const std::string& prefix, const std::string& x, int64_t stride) {
    std::string skip = x, y = x;
    if (state_.contains(prefix + "downsample.0.weight"))
      skip = norm(prefix + "downsample.1", convolution(prefix + "downsample.0", x, stride));
    int last = layout_.bottleneck ? 3 : 2, strided = layout_.bottleneck ? 2 : 1;
    for (int i = 1; i <= last; ++i) {
      std::string number = std::to_string(i);
      y = norm(prefix + "bn" + number, convolution(prefix + "conv" + number, y, i == strided ? stride : 1));
      if (i < last) y = relu(y);
    }
    return relu(add(prefix + "sum", "Add", {y, skip}, {}));
  }

  ResNetOptions options_;
  ResNetLayout layout_;
  std::map<std::string, Tensor> state_;
  ProtobufMessage graph_;
};

}  // namespace

void write_onnx(const std::filesystem::path& path, ResNet& encoder) {
  std::string model = Graph(encoder).model();
  if (int64_t(model.size()) >= kLargest)
    throw InputError(message(path.string(), ": a model of ", model.size(),
                             " bytes is beyond ONNX's 2 GiB; export it as safetensors"));
  OutputFile file(path);
  file.write(model.data(), int64_t(model.size()));
  file.finish();
}

}  // namespace plumage
