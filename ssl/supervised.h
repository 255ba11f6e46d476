// Training with labels: makes the base encoder that a self-supervised run starts from, and upper bounds.
#pragma once
#include "ssl/method.h"

namespace plumage {

class Supervised : public Method {
 public:
  /// options.classes > 0: the number of labels. Learns from x' and views.labels by cross-entropy.
  Supervised(const ResNetOptions& encoder, const BaseOptions& options, Init init) : options_(options), encoder_(encoder, init) {}
  void forward(const Views& views, Step& step, const Emit& emit) override;
  void after_step(Step& step) override { step.statistics.apply(); }
  void add_parameters(Optimizer& encoder, Optimizer&) override { encoder.add("encoder", encoder_); }
  ResNet& encoder() override { return encoder_; }
  void visit(const std::string& prefix, const Visitor& f) override { encoder_.visit(join_name(prefix, "encoder"), f); }

 private:
  BaseOptions options_;
  ResNet encoder_;
};

}  // namespace plumage
