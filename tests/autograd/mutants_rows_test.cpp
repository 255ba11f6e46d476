// Mutants of pointwise ops, reductions, softmax and its relatives, normalised rows, losses and matrix
// products.
#include "tests/autograd/mutants.h"

using namespace plumage;

namespace {

// [R, C] -> [R, 1] or, for the mutants that mix up axes, [1, C].
Tensor row_sum(const Tensor& x) { return ops::sum_to(x, {x.size(0), 1}); }
Tensor column_sum(const Tensor& x) { return ops::sum_to(x, {1, x.size(1)}); }

Tensor onehot(const Tensor& labels, int64_t columns) {
  return ops::put_last(Tensor::full({labels.size(0), 1}, 1, DType::f64), labels.reshape({-1, 1}), columns);
}

Function softmax_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor y = ops::softmax(x[0].value());
    return std::vector{record("softmax", y, {x[0]}, [y, fault](const Tensor& dy, Gradients& d) {
      Tensor term = fault == "swapped axes" ? column_sum(ops::mul(dy, y)) : row_sum(ops::mul(dy, y));
      Tensor dx = ops::mul(y, fault == "missing term" ? dy : ops::sub(dy, term));
      if (fault == "factor") dx = ops::scale(dx, 2);
      if (fault == "sign") dx = ops::scale(dx, -1);
      if (fault == "factor of a thousandth") dx = ops::scale(dx, 1.001);
      d.add(0, dx);
    })};
  };
}

Function log_softmax_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor y = ops::log_softmax(x[0].value());
    return std::vector{record("log_softmax", y, {x[0]}, [y, fault](const Tensor& dy, Gradients& d) {
      Tensor share = fault == "missing exp" ? y : ops::unary(UnaryFn::exp, y);
      Tensor sum = fault == "swapped axes" ? column_sum(dy) : row_sum(dy);
      Tensor term = ops::mul(share, sum);
      if (fault == "sign of the term") term = ops::scale(term, -1);
      if (fault == "term without the sum") term = ops::mul(share, dy);
      d.add(0, fault == "missing term" ? dy : ops::sub(dy, term));
    })};
  };
}

Function logsumexp_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor y = ops::logsumexp(x[0].value());
    return std::vector{
        record("logsumexp", y, {x[0]}, [x = x[0].value(), y, fault](const Tensor& dy, Gradients& d) {
          Tensor share = ops::softmax(x), weight = dy.reshape({-1, 1});
          if (fault == "all to the maximum") share = onehot(ops::max_last(x).second, x.size(1));
          if (fault == "the same to all")
            share = Tensor::full(x.shape(), 1.0 / double(x.size(1)), DType::f64);
          d.add(0, fault == "cotangent forgotten" ? share : ops::mul(weight, share));
        })};
  };
}

Function l2_normalize_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    auto [y, norm] = ops::l2_normalize(x[0].value());
    return std::vector{record("l2_normalize", y, {x[0]},
                              [y = y, norm = norm.reshape({-1, 1}), fault](const Tensor& dy, Gradients& d) {
                                Tensor along = ops::mul(y, row_sum(ops::mul(dy, y)));
                                if (fault == "missing y of the projection") along = row_sum(ops::mul(dy, y));
                                if (fault == "sign of the projection") along = ops::scale(along, -1);
                                Tensor dx = fault == "missing projection" ? dy : ops::sub(dy, along);
                                if (fault == "norm squared") dx = ops::div(dx, norm);
                                d.add(0, fault == "missing 1/norm" ? dx : ops::div(dx, norm));
                              })};
  };
}

const std::vector<int64_t> kLabels{2, 0, 4};

Function cross_entropy_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor labels = Tensor::from(kLabels, {3});
    Tensor loss = ops::cross_entropy(x[0].value(), labels).first;
    return std::vector{record(
        "cross_entropy", loss, {x[0]}, [x = x[0].value(), labels, fault](const Tensor& dy, Gradients& d) {
          Tensor p = ops::softmax(x), hot = onehot(labels, x.size(1));
          Tensor g = fault == "missing onehot"    ? p
                     : fault == "missing softmax" ? ops::scale(hot, -1)
                                                  : ops::sub(p, hot);
          if (fault == "sign") g = ops::scale(g, -1);
          if (fault == "mean over the batch") g = ops::scale(g, 1.0 / double(x.size(0)));
          d.add(0, fault == "cotangent forgotten" ? g : ops::mul(g, dy.reshape({-1, 1})));
        })};
  };
}

// lse_i = log sum_k exp(q_i . k / tau) over the keys of a queue
Function attend_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    const double scale = 5;
    Tensor keys = random({6, 4}, 2);
    auto [lse, mean] = ops::attend(x[0].value(), keys, scale);
    return std::vector{record("attend", lse, {x[0]}, [=, mean = mean, q = x[0].value()](const Tensor& dy, Gradients& d) {
      Tensor g = fault == "q in the keys' place" ? q : mean;
      if (fault == "plain mean") g = ops::scale(ops::matmul(Tensor::full({3, 6}, 1, DType::f64), keys), 1.0 / 6);
      if (fault != "no 1/tau") g = ops::scale(g, scale);
      if (fault == "sign") g = ops::scale(g, -1);
      d.add(0, fault == "cotangent forgotten" ? g : ops::mul(g, dy.reshape({-1, 1})));
    })};
  };
}

// loss_i = -log softmax(q_i . k / tau)[i], the loss of MoCo with the batch's other keys as negatives.
Function info_nce_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    const double tau = 0.2;
    Tensor labels = Tensor::from(std::vector<int64_t>{0, 1, 2}, {3});
    Tensor logits = ops::scale(ops::matmul(x[0].value(), x[1].value(), false, true), 1 / tau);  // [B, B]
    Tensor loss = ops::cross_entropy(logits, labels).first;
    return std::vector{record("info_nce", loss, {x[0], x[1]},
                              [=, q = x[0].value(), k = x[1].value()](const Tensor& dy, Gradients& d) {
                                Tensor p = ops::softmax(logits), hot = onehot(labels, 3);
                                Tensor g = fault == "missing onehot"    ? p
                                           : fault == "missing softmax" ? ops::scale(hot, -1)
                                                                        : ops::sub(p, hot);
                                g = ops::mul(g, dy.reshape({-1, 1}));
                                if (fault != "no 1/tau") g = ops::scale(g, 1 / tau);
                                d.add(0, ops::matmul(g, k));
                                if (fault == "no gradient to the keys") return;
                                d.add(1, fault == "keys: swapped axes" ? ops::matmul(g, q)
                                                                       : ops::matmul(g, q, true, false));
                              })};
  };
}

Function relu_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor y = ops::relu(x[0].value());
    return std::vector{record("relu", y, {x[0]}, [y, fault](const Tensor& dy, Gradients& d) {
      if (fault == "dropped mask")
        d.add(0, dy);
      else
        d.add(0, ops::binary(BinaryFn::relu_mask, dy,
                             fault == "mask of dy"     ? dy
                             : fault == "negated mask" ? ops::scale(y, -1)
                                                       : y));
    })};
  };
}

Function mul_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor a = x[0].value(), b = x[1].value();  // b: [C], broadcast
    return std::vector{
        record("mul", ops::mul(a, b), {x[0], x[1]}, [a, b, fault](const Tensor& dy, Gradients& d) {
          d.add(0, fault == "swapped" ? ops::mul(dy, a) : ops::mul(dy, b));
          Tensor db = fault == "swapped" ? ops::mul(dy, b) : ops::mul(dy, a);
          if (fault == "first row instead of the sum") db = db.slice(0, 1).reshape(b.shape());
          if (fault == "mean instead of the sum") db = ops::scale(db, 1.0 / double(a.size(0)));
          if (fault == "sign") db = ops::scale(db, -1);
          d.add(1, db);
        })};
  };
}

Function sum_last_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor y = row_sum(x[0].value());  // [R, 1]
    return std::vector{
        record("sum_last", y, {x[0]}, [from = x[0].shape(), fault](const Tensor& dy, Gradients& d) {
          Tensor dx =
              ops::add(Tensor::zeros(from, DType::f64), fault == "swapped axes" ? dy.reshape({1, -1}) : dy);
          if (fault == "factor") dx = ops::scale(dx, 1.0 / double(from[1]));
          if (fault == "sign") dx = ops::scale(dx, -1);
          d.add(0, dx);
        })};
  };
}

Function matmul_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    Tensor a = x[0].value(), b = x[1].value();
    return std::vector{
        record("matmul", ops::matmul(a, b), {x[0], x[1]}, [a, b, fault](const Tensor& dy, Gradients& d) {
          d.add(0, ops::matmul(dy, b, false, fault != "da: swapped axes"));
          Tensor db = ops::matmul(a, dy, fault != "db: swapped axes", false);
          if (fault == "db: order") db = ops::matmul(dy, a, true, false);
          d.add(1, fault == "db: factor" ? ops::scale(db, 2) : db);
        })};
  };
}

Function top_k_with(const std::string& fault) {
  return [fault](const std::vector<Var>& x) {
    auto [y, index] = ops::top_k(x[0].value(), 2);
    if (fault == "order forgotten") index = ops::top_k(x[0].value(), 2, false).second;
    return std::vector{record("top_k", y, {x[0]},
                              [index = index, columns = x[0].size(1), fault](const Tensor& dy, Gradients& d) {
                                Tensor first = ops::narrow(index, 1, 0, 1);
                                if (fault == "all to the first")
                                  d.add(0, ops::put_last(row_sum(dy), first, columns));
                                else
                                  d.add(0, ops::put_last(dy, index, columns));
                              })};
  };
}

}  // namespace

TEST_CASE("mutants: softmax") {
  reject_all(softmax_with, {random({3, 4})},
             {"factor", "sign", "missing term", "swapped axes", "factor of a thousandth"});
  // Columns sum to anything, rows to one: an axis error needs a square to go unseen by shape checks.
  reject_all(softmax_with, {random({3, 3})}, {"swapped axes"});
}

TEST_CASE("mutants: log-softmax and logsumexp") {
  reject_all(log_softmax_with, {random({3, 3})},
             {"missing term", "missing exp", "swapped axes", "sign of the term", "term without the sum"});
  reject_all(logsumexp_with, {random({3, 4})},
             {"all to the maximum", "the same to all", "cotangent forgotten"});
}

TEST_CASE("mutants: l2-normalise") {
  reject_all(l2_normalize_with, {random({3, 4})},
             {"missing projection", "missing y of the projection", "sign of the projection", "missing 1/norm",
              "norm squared"});
}

TEST_CASE("mutants: cross-entropy and InfoNCE") {
  reject_all(cross_entropy_with, {random({3, 5})},
             {"missing onehot", "missing softmax", "sign", "mean over the batch", "cotangent forgotten"});
  reject_all(attend_with, {random({3, 4})}, {"q in the keys' place", "plain mean", "no 1/tau", "sign", "cotangent forgotten"});
  reject_all(info_nce_with, {random({3, 4}), random({3, 4}, 1)},
             {"missing onehot", "missing softmax", "no 1/tau", "no gradient to the keys"});
  reject_all(info_nce_with, {random({3, 4}), random({3, 4}, 1)}, {"keys: swapped axes"});
}

TEST_CASE("mutants: pointwise, sums and products") {
  reject_all(relu_with, {random({3, 5})}, {"dropped mask", "mask of dy", "negated mask"});
  reject_all(mul_with, {random({3, 4}), random({4}, 1)},
             {"sign", "first row instead of the sum", "mean instead of the sum"});
  reject_all(mul_with, {random({4}), random({4}, 1)}, {"swapped"});
  reject_all(sum_last_with, {random({3, 3})}, {"factor", "sign", "swapped axes"});
  reject_all(matmul_with, {random({3, 3}), random({3, 3}, 1)},
             {"da: swapped axes", "db: swapped axes", "db: order", "db: factor"});
  reject_all(top_k_with, {random({3, 5})}, {"all to the first", "order forgotten"});
}

TEST_CASE("mutants: what a plain sum of the outputs would let through") {
  for (const char* fault : {"factor", "sign", "factor of a thousandth"}) {
    CAPTURE(fault);
    CHECK(plain_sum_passes(softmax_with(fault), {random({3, 4})}));
  }
  CHECK(plain_sum_passes(sum_last_with("swapped axes"), {random({3, 3})}));
  CHECK_FALSE(plain_sum_passes(softmax_with("missing term"), {random({3, 4})}));
}
