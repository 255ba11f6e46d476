#!/usr/bin/env python3
"""The steps of bench/step.cpp in PyTorch, for bench/compare.sh and bench/gpu_check.sh: the same networks, sizes, loss terms,
optimisers, and terms differentiated one by one. Needs torch and torchvision. Prints a JSON object a way, with step.cpp's names.

    python3 bench/torch_step.py --arch resnet18|resnet50 --px P --batch B --step forward|supervised|moco|full [--steps N]
        [--queue K] [--device cpu|cuda] [--compute auto|f32|tf32|bf16] [--ways eager,graph,compile,compile+graph]

Ways: as written, the whole step captured in a CUDA graph, networks and loss through torch.compile, both. A way that does not
work here is {"way": .., "error": ..}. Everywhere channels_last, fused optimisers, parameters updated by lists; on the CPU
denormals flushed; on a GPU cuDNN's engines timed (benchmark). auto is bf16 on a GPU, f32 on the CPU; bf16 by autocast, what is
left in f32 with TF32 then.
"""
import argparse
import copy
import gc
import json
import os
import resource
import statistics
import sys
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
p.add_argument("--queue", type=int, default=65536)
p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
p.add_argument("--compute", default="auto", choices=["auto", "f32", "tf32", "bf16"])
p.add_argument("--ways", default="eager")
args = p.parse_args()
CUDA = args.device == "cuda"
COMPUTE = args.compute if args.compute != "auto" else "bf16" if CUDA else "f32"
BF16 = COMPUTE == "bf16"
TAU, ALPHA, NU, MOMENTUM = 0.2, 1.0, 1.0, 0.999
WARM_UP, STEPS_A_SAMPLE = (4, 5) if CUDA else (2, 1)  # a GPU is waited for at the end of a sample: steps overlap as in training
torch.set_num_threads(int(os.environ.get("PLUMAGE_THREADS", os.cpu_count())))
torch.set_flush_denormal(True)
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = COMPUTE != "f32"


def synchronize():
    if CUDA:
        torch.cuda.synchronize()


def seconds_of(f, repetitions=5):
    """Median seconds of a call, after one that does not count; on a GPU of twenty that are waited for together."""
    calls, times = (20 if CUDA else 1), []
    f()
    for _ in range(repetitions):
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            f()
        synchronize()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def matmul_gflops():
    n, dtype = (8192 if CUDA else 2048), (torch.bfloat16 if CUDA and BF16 else torch.float32)
    a, b = (torch.randn(n, n, device=args.device).to(dtype) for _ in range(2))
    return 2e-9 * n**3 / seconds_of(lambda: a @ b)


def images_last(module):
    return module.to(memory_format=torch.channels_last)


def unit(z):
    return F.normalize(z.float(), dim=1)


def autocast():
    return torch.autocast(args.device, torch.bfloat16, enabled=BF16)


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


def contrast(z, k, queue):
    logits = torch.cat([(z * k).sum(1, keepdim=True), z @ queue.T], 1) / TAU
    return F.cross_entropy(logits, torch.zeros(len(z), dtype=torch.long, device=z.device))


def perturbed(v, slope):
    eta = F.relu(slope * v)
    eta = (eta - eta.amin(1, keepdim=True)) / (eta.amax(1, keepdim=True) - eta.amin(1, keepdim=True)).clamp_min(1e-12)
    return v + 0.1 * (1 - eta) * torch.randn_like(eta)


def pair_contrast(z, z_p):
    logits, same = z @ z_p.T / TAU, torch.arange(len(z), device=z.device)
    return 0.5 * (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same))


class Training:
    """Networks, optimisers, queue and images of one kind of step; a call makes one."""

    def __init__(self, compiled):
        torch.manual_seed(0)
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else lambda f: f  # two batch sizes are two programs
        f = getattr(torchvision.models, args.arch)()
        n = f.fc.in_features
        if args.step != "supervised":
            f.fc = nn.Identity()
        f = images_last(f).to(args.device).train(args.step != "forward")
        learned, self.adam, self.decode = [f], None, None
        if args.step in ("moco", "full"):
            g = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 128)).to(args.device)
            learned.append(g)
            key = copy.deepcopy(nn.Sequential(f, g)).requires_grad_(False)
            self.slow = list(key.parameters())
            self.queue, self.place = unit(torch.randn(args.queue, 128, device=args.device)), torch.zeros((), dtype=torch.long, device=args.device)
            self.rows = torch.arange(args.batch, device=args.device)
            self.project, self.key = wrap(g), wrap(key)
        if args.step == "full":
            factors = (4, 2, 1, 0.5, 0.25) if args.arch == "resnet50" else (3, 1.5, 0.75, 0.5, 0.25)
            h = images_last(Decoder(n, args.px, [int(64 * x) for x in factors])).to(args.device)
            self.adam = torch.optim.Adam(h.parameters(), 1e-4, fused=True, capturable=CUDA)
            self.decode = wrap(h)
        self.embed = wrap(f)
        self.contrast, self.perturbed, self.pair_contrast = wrap(contrast), wrap(perturbed), wrap(pair_contrast)
        self.weights = [w for m in learned for w in m.parameters()]
        self.sgd = torch.optim.SGD(self.weights, 0.03, momentum=0.9, weight_decay=1e-4, fused=True)
        self.x, self.x1, self.x2 = (images_last(torch.randn(args.batch, 3, args.px, args.px, device=args.device)) for _ in range(3))
        self.labels = torch.arange(args.batch, device=args.device) % 1000
        if args.step == "forward" and not CUDA:  # batch norm within the convolutions, filters in their kernels' order, once
            with torch.no_grad():
                self.x = self.x.contiguous()
                self.embed = torch.jit.optimize_for_inference(torch.jit.trace(f.to(memory_format=torch.contiguous_format), self.x))

    def __call__(self):
        {"forward": self.forward, "supervised": self.supervised, "moco": self.moco, "full": self.moco}[args.step]()

    def forward(self):
        with torch.no_grad(), autocast():
            self.embed(self.x)

    def supervised(self):
        with autocast():
            loss = F.cross_entropy(self.embed(self.x), self.labels)
        loss.backward()
        self.update()

    def moco(self):
        with autocast():
            with torch.no_grad():
                k = unit(self.key(self.x2))
            loss = self.contrast(unit(self.project(self.embed(self.x1))), k, self.queue)
        loss.backward()
        if self.decode is not None:
            self.pairs(k)
        self.update()
        with torch.no_grad():
            torch._foreach_lerp_(self.slow, self.weights, 1 - MOMENTUM)
            self.queue.index_copy_(0, (self.place + self.rows) % args.queue, k)
            self.place.add_(args.batch)

    def pairs(self, k):
        with autocast():
            v = self.embed(self.x)
            leaf = v.detach().requires_grad_(True)
            loss = self.contrast(unit(self.project(leaf)), k, self.queue)
        (slope,) = torch.autograd.grad(loss, leaf)
        with autocast():
            v_p = self.perturbed(v.detach(), slope)
            x_hat = self.decode(v)
            loss = ALPHA * F.mse_loss(x_hat.float(), self.x)
        loss.backward()
        with autocast():
            with torch.no_grad():
                x_hat_p = self.decode(v_p)
            made = images_last(torch.cat([x_hat.detach(), x_hat_p]))
            z, z_p = unit(self.project(self.embed(made))).chunk(2)
            loss = NU * self.pair_contrast(z, z_p)
        loss.backward()

    def update(self):
        for optimizer in (self.sgd, self.adam):
            if optimizer:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)


def captured(step):
    """The whole step as a CUDA graph; its replay."""
    if not CUDA:
        raise RuntimeError("a graph needs a CUDA device")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure(way):
    step = Training("compile" in way)
    if "graph" in way:
        step = captured(step)
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(args.steps):
        synchronize()
        start = time.perf_counter()
        for _ in range(STEPS_A_SAMPLE):
            step()
        synchronize()
        times.append((time.perf_counter() - start) / STEPS_A_SAMPLE)
    return statistics.median(times)


def report(way):
    """Prints what a way came to, before the next can end the program; true if it worked."""
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    result = {"arch": args.arch, "px": args.px, "batch": args.batch, "step": args.step, "dtype": COMPUTE,
              "threads": torch.get_num_threads(), "device": args.device, "way": way}
    rate = matmul_gflops()
    try:
        seconds = measure(way)
        result |= {"images_per_s": round(args.batch / seconds, 3), "step_s": round(seconds, 5)}
    except Exception as error:  # a way that fails is a result too
        result["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if CUDA:
        result |= {"peak_device_mb": torch.cuda.max_memory_allocated() >> 20, "held_device_mb": torch.cuda.max_memory_reserved() >> 20}
    result |= {"matmul_gflops": round((rate + matmul_gflops()) / 2, 1), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    print(json.dumps(result), flush=True)
    return "error" not in result


worked = [report(way) for way in args.ways.split(",")]
sys.exit(not any(worked))
