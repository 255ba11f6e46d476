"""Writes pytorch.txt: small cases of ops as PyTorch computes them in float64, read by pytorch_test.cpp.

A line is: name, rank, sizes, numbers. Images are NHWC, filters KRSC. Run with any PyTorch 2: python make_expected.py
"""
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(20261201)
lines = []


def put(name, t):
    t = t.detach().contiguous()
    sizes = [str(t.dim())] + [str(n) for n in t.shape]
    lines.append(" ".join([name] + sizes + [f"{v:.13g}" for v in t.double().flatten().tolist()]))


def draw(*sizes):
    return torch.round(torch.randn(*sizes, dtype=torch.float64) * 64) / 64


def nhwc(t):
    return t.permute(0, 2, 3, 1)


def case(name, f, inputs, image=True):
    """Inputs, output and gradients under one cotangent; images and filters turned to channels last."""
    inputs = [x.requires_grad_() for x in inputs]
    y = f(*inputs)
    dy = draw(*y.shape)
    y.backward(dy)
    turn = lambda t: nhwc(t) if image and t.dim() == 4 else t
    for i, x in enumerate(inputs):
        put(f"{name}.x{i}", turn(x))
        put(f"{name}.dx{i}", turn(x.grad))
    put(f"{name}.y", turn(y))
    put(f"{name}.dy", turn(dy))


case("conv", lambda x, w: F.conv2d(x, w, stride=2, padding=1), [draw(1, 2, 5, 4), draw(2, 2, 3, 2)])
case("max_pool", lambda x: F.max_pool2d(x, 3, 2, 1), [torch.round(draw(1, 2, 5, 4))])
case("avg_pool", lambda x: F.avg_pool2d(x, 3, 2, 1), [draw(1, 2, 5, 4)])
case("upsample", lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), [draw(1, 2, 2, 3)])
case("batch_norm", lambda x, g, b, r: F.relu(F.batch_norm(x, None, None, g, b, True, 0.1, 1e-5) + r),
     [draw(3, 2, 2, 2), draw(2), draw(2), draw(3, 2, 2, 2)])
case("softmax", lambda x: torch.softmax(x, -1), [draw(2, 5)])
case("log_softmax", lambda x: torch.log_softmax(x, -1), [draw(2, 5)])
case("logsumexp", lambda x: torch.logsumexp(x, -1), [draw(2, 5)])
case("l2_normalize", lambda x: F.normalize(x, dim=-1), [draw(2, 5)])
labels = torch.tensor([3, 0, 4])
case("cross_entropy", lambda x: F.cross_entropy(x, labels, reduction="none"), [draw(3, 5)])
case("matmul", lambda a, b: a.transpose(1, 2) @ b, [draw(2, 3, 2), draw(2, 3, 4)])
for name in ("relu", "sigmoid", "tanh"):
    case(name, getattr(torch, name), [draw(7)])
case("abs", torch.abs, [draw(7)])


def optimiser(name, make):
    p = draw(4).requires_grad_()
    put(f"{name}.start", p)
    run = make([p])
    for step in range(3):
        p.grad = draw(4)
        put(f"{name}.g{step}", p.grad)
        run.step()
    put(f"{name}.end", p)


optimiser("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))
optimiser("nesterov", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, weight_decay=0.01, nesterov=True))
optimiser("adam", lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))
optimiser("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))

case("conv_up", lambda x, w: F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), w, padding=1), [draw(1, 2, 2, 3), draw(3, 2, 3, 3)])

pathlib.Path(__file__).with_name("pytorch.txt").write_text("\n".join(lines) + "\n")
