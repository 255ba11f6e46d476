"""Bytes, operations and the floor of a training step on a GPU, by formula: python3 bench/gpu_floor.py [images]

Nothing here is measured (bench/gpu_report.py asks it with measured rates). A convolution takes the longer of its operations
and its bytes, all else its bytes; kernels do not overlap. Activations and their gradients in bf16. docs/gpu-design.md explains
the tables.
"""
import sys

RATE, BANDWIDTH = 800e12, 3.0e12  # H100: dense bf16 operations and bytes a second that good kernels reach
BF16, F32 = 2, 4


class Cost:
    def __init__(self):
        self.bytes, self.ops, self.seconds = {}, 0, {}

    def add(self, kind, count, ops=0.0, element=BF16):
        moved = count * element
        self.bytes[kind] = self.bytes.get(kind, 0) + moved
        self.seconds[kind] = self.seconds.get(kind, 0) + max(ops / RATE, moved / BANDWIDTH)
        self.ops += ops

    def total_bytes(self):
        return sum(self.bytes.values())

    def total_seconds(self):
        return sum(self.seconds.values())


class Step:
    """Walks a network; level 0: every op a kernel, 1: norm, relu and residual together, 2: sums in convolutions."""

    def __init__(self, n, level):
        self.n, self.level, self.parameters = n, level, 0
        self.forward, self.backward = Cost(), Cost()
        self.layers, self.layer = {}, None  # convolution -> [how often, operations, its bytes, bytes of the norm behind it]

    def add(self, cost, kind, count, ops=0.0, norm=False):
        cost.add(kind, count, ops)
        self.layer[1] += ops
        self.layer[3 if norm else 2] += count * BF16

    def conv(self, size, c, k, r, stride=1, needs_dx=True, joint=False):
        n, out = self.n, size // stride
        x, w, y = n * size * size * c, k * r * r * c, n * out * out * k
        ops = 2.0 * y * r * r * c
        self.parameters += w
        self.layer = self.layers.setdefault(f"{r}x{r}, {c} to {k}, {size} px" + (", stride 2" if stride > 1 else ""), [0, 0, 0, 0])
        self.layer[0] += 1
        self.add(self.forward, "convolution", x + w + y, ops)
        self.add(self.backward, "dw", x + y + w, ops)
        if needs_dx:
            self.add(self.backward, "dx", y + w + x, ops)
            if joint:  # the gradient meets the one from the other branch
                self.add(self.backward, "dx" if self.level >= 2 else "sums", x if self.level >= 2 else 3 * x)
        return out

    def norm(self, size, c, relu=True, residual=False):
        y = self.n * size * size * c
        self.parameters += 2 * c
        def add(cost, kind, count):
            self.add(cost, kind, count, norm=True)

        f, b = self.forward, self.backward
        add(f, "statistics", 0 if self.level >= 2 else y)  # level 2: behind the convolution, on y as it is made
        if self.level == 0:
            add(f, "norm", 2 * y)
            add(f, "relu and sum", (2 if relu else 0) * y + (3 if residual else 0) * y)
            add(b, "relu", (3 if relu else 0) * y)
            add(b, "norm", 2 * y + 3 * y)
        else:
            add(f, "norm", (3 if residual else 2) * y)
            read = 3 if relu and residual else 2  # x, dy, and y for the mask where x alone does not tell it
            add(b, "norm", read * y + (read + 1 + (1 if residual else 0)) * y)

    def pool(self, size, c):
        x = self.n * size * size * c
        y = x // 4
        self.forward.add("pool", x + y + 2 * y)  # argmax in 32 bits
        self.backward.add("pool", x + y + 2 * y)


def resnet(n, level, bottleneck, blocks, size=224):
    s = Step(n, level)
    size = s.conv(size, 4, 64, 7, 2, needs_dx=False)
    s.norm(size, 64)
    s.pool(size, 64)
    size //= 2
    c = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        out = width * (4 if bottleneck else 1)
        for i in range(count):
            stride = 2 if stage and i == 0 else 1
            if stride != 1 or c != out:
                s.conv(size, c, out, 1, stride)
                s.norm(size // stride, out, relu=False)
            if bottleneck:
                s.conv(size, c, width, 1, joint=True)
                s.norm(size, width)
                after = s.conv(size, width, width, 3, stride)
                s.norm(after, width)
                s.conv(after, width, out, 1)
            else:
                after = s.conv(size, c, width, 3, stride, joint=True)
                s.norm(after, width)
                s.conv(after, width, out, 3)
            s.norm(after, out, residual=True)
            size, c = after, out
    return s


def decoder(n, level, blocks=(3, 6, 4, 3), size=7, c=2048):
    """The encoder's blocks in reverse, bottlenecks; upsampled maps are read as they lie."""
    s = Step(n, level)
    for stage, count in zip((3, 2, 1, 0), blocks):
        width = 64 << max(0, stage - 1)
        for i in range(count):
            s.conv(size, c, width, 1, joint=True)
            s.norm(size, width)
            if i == 0:
                s.conv(size, c, 4 * width, 1)
                s.norm(size, 4 * width, relu=False)
                grown = s.n * 4 * size * size * (width + 4 * width)
                s.forward.add("upsample", grown * 5 // 4)
                s.backward.add("upsample", grown * 5 // 4)
                size *= 2
            s.conv(size, width, width, 3)
            s.norm(size, width)
            s.conv(size, width, 4 * width, 1)
            s.norm(size, 4 * width, residual=True)
            c = 4 * width
    s.forward.add("upsample", s.n * size * size * c * 5)
    s.backward.add("upsample", s.n * size * size * c * 5)
    s.conv(2 * size, c, 4, 3)
    return s


def sgd(parameters):
    cost = Cost()
    cost.add("sgd", 5 * parameters, element=F32)  # parameter, gradient, momentum read; two written
    cost.add("sgd", 2 * parameters)  # gradient in, working copy out, 16 bits
    return cost


def views(n, size=224, width=597, height=448, kept=0.6, sigma=1.05):
    """One tensor of n augmented views from pictures in the device's memory: what each sweep of the kernels moves, and about
    how many instructions a thread runs for it, counted in kernels/views.cu."""
    pixels, rows, shrink = size * size, height * kept**0.5, width * kept**0.5 / size
    taps, radius = 2 * shrink + 1, 4 * sigma
    sweeps = {  # bytes, instructions, of one view
        "along rows": (kept * width * height * 3 + 4 * rows * size, rows * size * taps * 9),
        "along columns": (4 * rows * size + 4 * pixels, pixels * taps * 9),
        "mean for contrast, colours": (2 * 4 * pixels, 2 * pixels * 80),
        "blur, of half of the views": (0.5 * 4 * 8 * pixels, 0.5 * pixels * ((2 * radius + 4) / 4 * 40 + (2 * radius + 1) * 14)),
        "normalise, cast, store": (3 * F32 * pixels, pixels * 20),
    }
    print("| sweep | MB a view | million instructions a view |")
    print("|---|---|---|")
    for name, (moved, instructions) in sweeps.items():
        print(f"| {name} | {moved / 1e6:.2f} | {instructions / 1e6:.1f} |")
    moved, instructions = (sum(s[i] for s in sweeps.values()) for i in (0, 1))
    print(f"| together | {moved / 1e6:.2f} | {instructions / 1e6:.1f} |")
    # A view is one block: as many at once as there are multiprocessors, each 128 instructions a clock at best.
    rounds = -(-n // 132)
    print(f"\n{n} views: {1e3 * n * moved / BANDWIDTH:.2f} ms by bytes, {1e3 * rounds * instructions / 128 / 1.7e9:.2f} ms by instructions")


def level_table(n, rate, bandwidth):
    """ResNet-50 at a device's operations and bytes a second."""
    global RATE, BANDWIDTH
    RATE, BANDWIDTH = rate, bandwidth
    print("| level | GFLOP an image | MB an image | convolutions ms | norm ms | rest ms | step ms | images/s |")
    print("|---|---|---|---|---|---|---|---|")
    for level in (0, 1, 2):
        s = resnet(n, level, True, (3, 4, 6, 3))
        update = sgd(s.parameters)
        seconds = {}
        for cost in (s.forward, s.backward, update):
            for kind, t in cost.seconds.items():
                seconds[kind] = seconds.get(kind, 0) + t
        conv = sum(seconds.get(k, 0) for k in ("convolution", "dx", "dw"))
        norm = sum(seconds.get(k, 0) for k in ("statistics", "norm", "relu and sum", "relu"))
        total = sum(seconds.values())
        moved = s.forward.total_bytes() + s.backward.total_bytes() + update.total_bytes()
        print(f"| {level} | {(s.forward.ops + s.backward.ops) / n / 1e9:.1f} | {moved / n / 1e6:.0f} | {1e3 * conv:.1f} "
              f"| {1e3 * norm:.1f} | {1e3 * (total - conv - norm):.1f} | {1e3 * total:.1f} | {n / total:.0f} |")


def layer_table(n):
    """ResNet-50, layer by layer: what its convolutions and the norms behind them move at each level of fusion."""
    levels = [resnet(n, level, True, (3, 4, 6, 3)).layers for level in (0, 1, 2)]
    print("| convolution | times | GFLOP | MB | norm MB, level 0 | 1 | 2 | ms at level 1: operations | bytes | norm |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, (count, ops, moved, norm) in levels[1].items():
        norms = " | ".join(f"{level[name][3] / n / 1e6:.1f}" for level in levels)
        print(f"| {name} | {count} | {ops / n / 1e9:.2f} | {moved / n / 1e6:.1f} | {norms} "
              f"| {1e3 * ops / RATE:.2f} | {1e3 * moved / BANDWIDTH:.2f} | {1e3 * norm / BANDWIDTH:.2f} |")


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    print(f"ResNet-50, 224 pixels, {n} images: forward + backward + SGD")
    level_table(n, RATE, BANDWIDTH)
    print("\nIts layers, forward and backward; GFLOP and MB an image, ms a step")
    layer_table(n)
    print(f"\nSteps of the method at level 1, ResNet-50 and its mirrored decoder, {n} images")
    e, d = resnet(n, 1, True, (3, 4, 6, 3)), decoder(n, 1)
    ef, eb, df, db = (1e3 * c.total_seconds() for c in (e.forward, e.backward, d.forward, d.backward))
    u, ud = 1e3 * sgd(e.parameters).total_seconds(), 1e3 * sgd(d.parameters).total_seconds()
    print(f"encoder forward {ef:.1f} ms, backward {eb:.1f}; decoder forward {df:.1f}, backward {db:.1f}; "
          f"updates {u:.2f}, {ud:.2f}\n")
    steps = {
        "MoCo v2": (2 * ef + eb + u, "2 Ef + Eb"),
        "SimSiam": (2 * ef + 2 * eb + u, "2 Ef + 2 Eb"),
        "MoCo v2 with pairs": (5 * ef + 4 * eb + 2 * df + db + u + ud, "5 Ef + 4 Eb + 2 Df + Db"),
        "SimSiam with pairs": (5 * ef + 5 * eb + 2 * df + db + u + ud, "5 Ef + 5 Eb + 2 Df + Db"),
        "decoder alone": (ef + df + db + ud, "Ef + Df + Db"),
    }
    print("| step | passes | ms | images/s |")
    print("|---|---|---|---|")
    for name, (ms, passes) in steps.items():
        print(f"| {name} | {passes} | {ms:.0f} | {1e3 * n / ms:.0f} |")

    print("\nViews of 224 pixels from pictures of 597 x 448")
    views(n)


if __name__ == "__main__":
    main()
