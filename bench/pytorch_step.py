#!/usr/bin/env python3
"""The steps of bench/step.cpp in PyTorch, for bench/compare.sh: the same networks, sizes, loss terms and optimiser, f32.

    python3 bench/pytorch_step.py --arch resnet18|resnet50 --px P --batch B --step forward|supervised|moco|full [--steps N]

channels_last, fused SGD, denormals flushed. Prints one JSON object with step.cpp's names. Needs torch and torchvision.
"""
import argparse
import copy
import json
import os
import resource
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

p = argparse.ArgumentParser()
p.add_argument("--arch", default="resnet50")
p.add_argument("--px", type=int, default=224)
p.add_argument("--batch", type=int, default=16)
p.add_argument("--step", default="supervised", choices=["forward", "supervised", "moco", "full"])
p.add_argument("--steps", type=int, default=5)
args = p.parse_args()
torch.set_num_threads(int(os.environ.get("PLUMAGE_THREADS", os.cpu_count())))
torch.set_flush_denormal(True)
TAU, QUEUE, ALPHA, NU = 0.2, 65536, 1.0, 1.0


def images_last(module):
    return module.to(memory_format=torch.channels_last)


class UpBlock(nn.Module):
    """step.cpp's decoder: the map doubled, two 3x3 convolutions, a 1x1 skip taken before the doubling."""

    def __init__(self, i, o):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)
        self.skip = nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(F.interpolate(x, scale_factor=2))), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + F.interpolate(self.skip(x), scale_factor=2), inplace=True)


class Decoder(nn.Module):
    def __init__(self, n, px, widths):
        super().__init__()
        self.side, self.width = px >> len(widths), widths[0]
        self.fc = nn.Linear(n, self.side**2 * self.width)
        self.blocks = nn.Sequential(*(UpBlock(i, o) for i, o in zip(widths[:1] + widths, widths)))
        self.out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, v):
        y = self.fc(v).view(-1, self.side, self.side, self.width).permute(0, 3, 1, 2)
        return self.out(self.blocks(y))


def matmul_gflops(n=2048):
    a, b, times = torch.randn(n, n), torch.randn(n, n), []
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2e-9 * n**3 / statistics.median(times[1:])


def picture():
    return images_last(torch.randn(args.batch, 3, args.px, args.px))


def unit(z):
    return F.normalize(z, dim=1)


before = matmul_gflops()
torch.manual_seed(0)
f = images_last(getattr(torchvision.models, args.arch)())
n = f.fc.in_features
learned, adam = [f], None
if args.step in ("forward", "moco", "full"):
    f.fc = nn.Identity()
if args.step in ("moco", "full"):
    g = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 128))
    learned.append(g)
    key = copy.deepcopy(nn.Sequential(f, g)).requires_grad_(False)
    queue, place = unit(torch.randn(QUEUE, 128)), 0
if args.step == "full":
    factors = (4, 2, 1, 0.5, 0.25) if args.arch == "resnet50" else (3, 1.5, 0.75, 0.5, 0.25)
    h = images_last(Decoder(n, args.px, [int(64 * x) for x in factors]))
    adam = torch.optim.Adam(h.parameters(), 1e-4, fused=True)
weights = [w for m in learned for w in m.parameters()]
sgd = torch.optim.SGD(weights, 0.03, momentum=0.9, weight_decay=1e-4, fused=True)
x, x1, x2, labels = picture(), picture(), picture(), torch.arange(args.batch) % 1000


def contrast(z, k):
    logits = torch.cat([(z * k).sum(1, keepdim=True), z @ queue.T], 1) / TAU
    return F.cross_entropy(logits, torch.zeros(len(z), dtype=torch.long))


def update():
    for optimizer in (sgd, adam):
        if optimizer:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def after_step(k):
    global place
    with torch.no_grad():
        torch._foreach_lerp_(list(key.parameters()), weights, 0.001)
        queue[place : place + len(k)] = k
        place = (place + len(k)) % QUEUE


def forward():
    with torch.no_grad():
        f(x)


def supervised():
    F.cross_entropy(f(x), labels).backward()
    update()


def moco(pairs=False):
    with torch.no_grad():
        k = unit(key(x2))
    contrast(unit(g(f(x1))), k).backward()
    if pairs:
        discriminative_pairs(k)
    update()
    after_step(k)


def discriminative_pairs(k):
    v = f(x)
    leaf = v.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(contrast(unit(g(leaf)), k), leaf)
    eta = F.relu(slope * leaf.detach())
    eta = (eta - eta.amin(1, keepdim=True)) / (eta.amax(1, keepdim=True) - eta.amin(1, keepdim=True)).clamp_min(1e-12)
    v_p = v.detach() + 0.1 * (1 - eta) * torch.randn_like(eta)
    x_hat = h(v)
    (ALPHA * F.mse_loss(x_hat, x)).backward()
    with torch.no_grad():
        x_hat_p = h(v_p)
    made = images_last(torch.cat([x_hat.detach(), x_hat_p]))
    z, z_p = unit(g(f(made))).chunk(2)
    logits, same = z @ z_p.T / TAU, torch.arange(len(z))
    (NU * 0.5 * (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same))).backward()


step = {"forward": forward, "supervised": supervised, "moco": moco, "full": lambda: moco(pairs=True)}[args.step]
if args.step == "forward":
    f.eval()
times = []
for i in range(2 + args.steps):
    start = time.perf_counter()
    step()
    if i >= 2:
        times.append(time.perf_counter() - start)
seconds = statistics.median(times)
print(json.dumps({"arch": args.arch, "px": args.px, "batch": args.batch, "step": args.step, "threads": torch.get_num_threads(),
                  "images_per_s": round(args.batch / seconds, 3), "step_s": round(seconds, 4),
                  "matmul_gflops": round((before + matmul_gflops()) / 2, 1),
                  "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
