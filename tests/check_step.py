#!/usr/bin/env python3
"""Recomputes one training step with PyTorch and compares every number of it.

    plumage pretrain --config configs/moco-pairs.toml ... --steps 1 --dump-step step.safetensors
    python3 tests/check_step.py step.safetensors [--verbose] [--ref]

Starts from the file's parameters, images and noise (and its options, which stand in the metadata), runs networks,
losses and gradients in float64 with nothing of plumage, and prints the largest difference of each quantity relative to
its largest value; of a gradient the length of the difference over its length. Where float32 rounds a unit to the other
side of a ReLU a whole share of a gradient moves: PyTorch's own float32 is as far away, up to a few percent. A step
dumped under PLUMAGE_BACKEND=ref, whose sums are double, is held to 1e-3 by --ref. The update is checked from the
file's own gradients (the first step of Adam is nearly a sign), and only of the first step of a run: optimisers start at
zero. Exit status: 0 all within tolerance, 1 something is not, 77 PyTorch or safetensors is not there.
"""
import sys

try:
    import tomllib

    import torch
    import torch.nn.functional as F
    from safetensors import safe_open
except ImportError as error:
    print(f"check_step: {error.name} is not there; nothing was checked")
    sys.exit(77)

torch.set_default_dtype(torch.float64)
VALUE, GRADIENT, EXACT = 1e-3, 0.1, 2e-6  # tolerances: float32 through a deep network, its gradients, single formulas


class Report:
    def __init__(self, verbose):
        self.gradient = 1e-3 if "--ref" in sys.argv else GRADIENT
        self.verbose, self.failed, self.worst, self.gradients = verbose, [], {}, []

    def compare(self, name, got, want, tolerance, group=None, by_length=False, floor=1e-12):
        if got is None:
            error = float("nan")
        elif tuple(got.shape) != tuple(want.shape):
            self.failed.append(name)
            print(f"{name}: shape {tuple(got.shape)}, wanted {tuple(want.shape)}   WRONG")
            return
        else:
            size = (lambda x: x.norm()) if by_length else (lambda x: x.abs().max())
            error = float(size(got - want) / size(want).clamp_min(floor)) if want.numel() else 0.0
        if by_length:
            self.gradients.append(error)
        good = error <= tolerance  # not for NaN
        if not good:
            self.failed.append(name)
        if group:
            key = self.worst.get(group)
            if key is None or not error <= key[0]:
                self.worst[group] = (error, name, tolerance)
        if not group or self.verbose or not good:
            print(f"{name:44} {error:9.2e}   {'ok' if good else f'WRONG, wanted <= {tolerance:g}'}")

    def say(self, name, good, text):
        if not good:
            self.failed.append(name)
        print(f"{name:44} {text}   {'ok' if good else 'WRONG'}")

    def finish(self):
        half = sorted(self.gradients)[len(self.gradients) // 2]
        self.say("half of the gradients are nearer than", half <= 0.5 * self.gradient, f"{half:.2e}")
        for group, (error, name, tolerance) in self.worst.items():
            print(f"{group + ' (worst: ' + name + ')':80} {error:9.2e}   {'ok' if error <= tolerance else 'WRONG'}")
        print(f"check_step: {len(self.failed)} of the quantities differ" if self.failed else "check_step: all quantities agree")
        return 1 if self.failed else 0


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


class Networks:
    """Encoder, heads and decoder by the names of the file. `after` collects new running statistics."""

    def __init__(self, params, config):
        self.p, self.config, self.after = params, config, {}

    def norm(self, name, x, groups, update):
        """Batch statistics of each of `groups` parts of the batch; x: [N, C, ...]."""
        split = x.reshape(groups, x.shape[0] // groups, x.shape[1], -1)
        mean, var = split.mean((1, 3), keepdim=True), split.var((1, 3), unbiased=False, keepdim=True)
        y = ((split - mean) / torch.sqrt(var + 1e-5)).reshape(x.shape)
        if name + ".weight" in self.p:
            shape = (1, -1) + (1,) * (x.dim() - 2)
            y = y * self.p[name + ".weight"].reshape(shape) + self.p[name + ".bias"].reshape(shape)
        if update:
            count = split.shape[1] * split.shape[3]
            for field, value in (("running_mean", mean), ("running_var", var * (count / (count - 1)))):
                key = f"{name}.{field}"
                self.after[key] = 0.9 * self.after.get(key, self.p[key]) + 0.1 * value.detach().mean(0).reshape(-1)
        return y

    def block(self, names, x, stride, groups, update):
        """names: functions from a local name to a convolution's and a norm's name."""
        conv, bn = names
        has = lambda local: conv(local) + ".weight" in self.p
        w = lambda local: self.p[conv(local) + ".weight"]
        norm = lambda local, y: self.norm(bn(local), y, groups, update)
        skip = norm("downsample.1", F.conv2d(x, w("downsample.0"), stride=stride)) if has("downsample.0") else x
        if has("conv3"):
            y = torch.relu(norm("bn1", F.conv2d(x, w("conv1"))))
            y = torch.relu(norm("bn2", F.conv2d(y, w("conv2"), stride=stride, padding=1)))
            return torch.relu(norm("bn3", F.conv2d(y, w("conv3"))) + skip)
        y = torch.relu(norm("bn1", F.conv2d(x, w("conv1"), stride=stride, padding=1)))
        return torch.relu(norm("bn2", F.conv2d(y, w("conv2"), padding=1)) + skip)

    def encode(self, prefix, images, groups, update, norms=None):
        """v of images [N, px, px, 3]. norms: where the batch norms stand, if elsewhere than the convolutions."""
        norms = norms or prefix
        conv = lambda stem: lambda local: f"{prefix}.{stem}{local}"
        bn = lambda stem: lambda local: f"{norms}.{stem}{local}"
        x, w = nchw(images), self.p[f"{prefix}.conv1.weight"]
        imagenet = w.shape[2] == 7
        x = F.conv2d(x, w, stride=2, padding=3) if imagenet else F.conv2d(x, w, padding=1)
        x = torch.relu(self.norm(f"{norms}.bn1", x, groups, update))
        if imagenet:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            i = 0
            while f"{prefix}.layer{stage}.{i}.conv1.weight" in self.p:
                stem = f"layer{stage}.{i}."
                x = self.block((conv(stem), bn(stem)), x, 2 if stage > 1 and i == 0 else 1, groups, update)
                i += 1
        return x.mean((2, 3))

    def mlp(self, prefix, x, groups, update):
        """Numbered as torch.nn.Sequential; a number without tensors is a ReLU."""
        last = max(int(name[len(prefix) + 1:].split(".")[0]) for name in self.p if name.startswith(prefix + "."))
        for i in range(last + 1):
            name = f"{prefix}.{i}"
            if name + ".running_mean" in self.p:
                x = self.norm(name, x, groups, update)
            elif name + ".weight" in self.p:
                x = F.linear(x, self.p[name + ".weight"], self.p.get(name + ".bias"))
            else:
                x = torch.relu(x)
        return x

    def up_block(self, stem, x, up, update):
        """A residual block of the decoder; the skip is upsampled after its 1x1."""
        w = lambda local: self.p[f"{stem}.{local}.weight"]
        norm = lambda local, y: self.norm(f"{stem}.{local}", y, 1, update)
        grow = lambda y: F.interpolate(y, scale_factor=up, mode="nearest") if up > 1 else y
        skip = norm("skip.1", F.conv2d(x, w("skip.0"))) if f"{stem}.skip.0.weight" in self.p else x
        skip = grow(skip)
        if f"{stem}.conv3.weight" in self.p:
            y = grow(torch.relu(norm("bn1", F.conv2d(x, w("conv1")))))
            y = torch.relu(norm("bn2", F.conv2d(y, w("conv2"), padding=1)))
            return torch.relu(norm("bn3", F.conv2d(y, w("conv3"))) + skip)
        y = torch.relu(norm("bn1", F.conv2d(grow(x), w("conv1"), padding=1)))
        return torch.relu(norm("bn2", F.conv2d(y, w("conv2"), padding=1)) + skip)

    def decode(self, v, update):
        p, arch = self.p, self.config["decoder"]["arch"]
        linear = lambda name, x: F.linear(x, p[f"decoder.{name}.weight"], p[f"decoder.{name}.bias"])
        y = linear("fc", linear("latent", v) if "decoder.latent.weight" in p else v)
        first = "decoder.stage1.conv.weight" if arch == "light" else "decoder.stage1.0.conv1.weight"
        channels = p[first].shape[1]
        side = round((y.shape[1] / channels) ** 0.5)
        y = nchw(y.reshape(-1, side, side, channels))
        imagenet = self.config["encoder"]["stem"] == "imagenet"
        stage = 1
        while any(name.startswith(f"decoder.stage{stage}.") for name in p):
            stem = f"decoder.stage{stage}"
            if arch == "light":
                y = F.conv2d(F.interpolate(y, scale_factor=2, mode="nearest"), p[f"{stem}.conv.weight"], padding=1)
                y = torch.relu(self.norm(f"{stem}.bn", y, 1, update))
            else:
                i = 0
                while f"{stem}.{i}.conv1.weight" in p:
                    grows = i == 0 and (arch == "residual" or stage < 4 or imagenet)
                    y = self.up_block(f"{stem}.{i}", y, 2 if grows else 1, update)
                    i += 1
            stage += 1
        if arch == "resnet" and imagenet:
            y = F.interpolate(y, scale_factor=2, mode="nearest")
        return nhwc(F.conv2d(y, p["decoder.out.weight"], p["decoder.out.bias"], padding=1))


def unit(x):
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)


def queue_loss(q, k, queue, tau, with_positive):
    positive, negatives = (q * k).sum(1) / tau, q @ queue.T / tau
    total = torch.cat([positive[:, None], negatives], 1) if with_positive else negatives
    return torch.logsumexp(total, 1) - positive


def batch_loss(a, b, tau, with_positive, symmetric):
    n, all_z = len(a), torch.cat([a, b])
    similar = all_z @ all_z.T / tau
    index = torch.arange(2 * n)
    mask = torch.zeros(2 * n, 2 * n)
    mask[index, index] = -torch.inf
    positive = similar[index, (index + n) % (2 * n)]
    if not with_positive:
        mask[index, (index + n) % (2 * n)] = -torch.inf
    loss = torch.logsumexp(similar + mask, 1) - positive
    return loss if symmetric else loss[:n]


def min_max(x):
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp_min(1e-300), torch.zeros_like(x))


def scaled(eta, how):
    if how == "minmax":
        return min_max(eta)
    n = eta.shape[1]
    low = eta.amin(1, keepdim=True)
    if how == "p90":
        clip = torch.sort(eta, descending=True).values[:, [(n + 9) // 10 - 1]]
        return torch.where(eta > low, ((eta - low) / (clip - low).clamp_min(1e-30)).clamp_max(1), torch.zeros_like(eta))
    ranks = torch.empty_like(eta)
    order = torch.sort(eta, dim=1, stable=True).indices
    ranks.scatter_(1, order, torch.linspace(0, 1, n).expand_as(eta).clone())
    return torch.where(eta > low, ranks, torch.zeros_like(eta))


def spread(bank, criterion):
    if criterion in ("raw", "quantile"):
        return bank.var(0, unbiased=False)
    if criterion == "column_l2":
        return (bank / bank.norm(dim=0).clamp_min(1e-30)).var(0, unbiased=False)
    if criterion == "row_l2_std":
        return unit(bank).std(0, unbiased=False)
    return bank.std(0, unbiased=False) / bank.mean(0).abs().clamp_min(1e-12)


class Step:
    def __init__(self, tensors, config, report):
        self.t, self.c, self.r = tensors, config, report
        # A float64 copy of every number: the reference is then exact beside float32's rounding.
        params = {name[6:]: value.double() for name, value in tensors.items() if name.startswith("param/")}
        fixed = ("running_mean", "running_var", "queue.keys", "queue.pointer", "bank.rows", "bank.next", "bank.filled")
        self.learned = [n for n in params if not n.endswith(fixed) and not n.startswith("key_")]
        for name in self.learned:
            params[name].requires_grad_()
        self.net = Networks(params, config)
        self.p = params
        self.splits = config["bn"]["splits"]
        self.moco = config["method"] == "moco"
        self.total = 0

    def get(self, name):
        return self.t[name].double() if name in self.t else None

    def compare(self, name, want, tolerance=VALUE):
        self.r.compare(name, self.get(name), want.detach(), tolerance)

    def head(self, v, groups, update):
        return self.net.mlp("head" if self.moco else "projector", v, groups, update)

    def cosine(self, z, target, groups, update):
        p = self.net.mlp("predictor", z, groups, update)
        return -(F.normalize(p, dim=1, eps=1e-8) * F.normalize(target.detach(), dim=1, eps=1e-8)).sum(1)

    def contrast(self, z, key, groups):
        base = self.c["base"]
        if self.moco:
            return queue_loss(unit(z), key, self.get("queue"), base["tau"], base["denominator"] == "with_positive")
        return self.cosine(z, key, groups, False)

    def base_loss(self):
        g, x1, x2 = self.splits, self.get("x1"), self.get("x2")
        if self.moco:
            with torch.no_grad():
                v2 = self.net.encode("key_encoder", x2, g, True)
                self.key = unit(self.net.mlp("key_head", v2, g, True))
            v1 = self.net.encode("encoder", x1, g, True)
            loss = self.contrast(self.head(v1, g, True), self.key, g).mean()
            self.r.say("queue = param/queue.keys", torch.equal(self.t["queue"], self.t["param/queue.keys"]), "")
        else:
            v1, v2 = self.net.encode("encoder", x1, g, True), self.net.encode("encoder", x2, g, True)
            z1, z2 = self.head(v1, g, True), self.head(v2, g, True)
            loss = (self.cosine(z1, z2, g, True).mean() + self.cosine(z2, z1, g, True).mean()) / 2
            self.key = z2.detach()
            self.compare("v2", v2)
        self.compare("v1", v1)
        self.compare("key", self.key)
        self.compare("L_C", loss.reshape(()))
        self.total = loss

    def saliency(self, v):
        s, g = self.c["saliency"], self.splits
        leaf = v.detach().clone().requires_grad_()
        z = self.head(leaf, g, False)
        key = self.key
        if s["positive"] == "query":
            with torch.no_grad():
                key = unit(self.head(self.net.encode("encoder", self.get("x2"), g, False), g, False))
        if s["negatives"] == "batch":
            base = self.c["base"]
            loss = batch_loss(unit(z), unit(key), base["tau"], base["denominator"] == "with_positive", False)
        else:
            loss = self.contrast(z, key, g)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        product = gradient * v.detach()
        eta = {"loss": torch.relu(product), "negative_loss": torch.relu(-product), "abs": product.abs()}[s["target"]]
        self.compare("z", unit(z))
        self.compare("eta", eta, 10 * VALUE)
        self.compare("eta_bar", scaled(self.get("eta"), s["scale"]), EXACT)

    def bank(self):
        source = self.c["bank"]["source"]
        rows, at, filled = self.p["bank.rows"].clone(), int(self.p["bank.next"]), int(self.p["bank.filled"])
        new = []
        if source != "clean":
            new += [self.get(name) for name in ("v1", "v2") if name in self.t]
        if source != "views":
            new.append(self.get("v"))
        for v in new:
            for row in v[-len(rows):]:
                rows[at] = row
                at, filled = (at + 1) % len(rows), min(filled + 1, len(rows))
        self.r.compare("bank", self.get("bank"), rows[:filled], 0)
        self.r.compare("after/bank.rows", self.get("after/bank.rows"), rows, 0)
        self.r.say("after/bank.next, after/bank.filled",
                   (int(self.t["after/bank.next"]), int(self.t["after/bank.filled"])) == (at, filled), f"{at}, {filled}")
        self.compare("s", spread(self.get("bank"), self.c["lowvar"]["criterion"]), 20 * EXACT)
        return filled

    def noise(self, filled):
        o, low, s, eta_bar = self.c["perturb"], self.c["lowvar"], self.get("s"), self.get("eta_bar")
        unit_size = spread(self.get("bank"), "raw").mean().sqrt() if o["units"] == "feature_std" else 1.0
        size = lambda x, e: (torch.sqrt((e * (1 - x)).clamp_min(0)) if o["epsilon_is"] == "variance" else e * (1 - x)) * unit_size
        std_g = size(eta_bar, o["epsilon_g"])
        if o["gradcam"] == "isotropic":
            std_g = std_g.square().mean(1, keepdim=True).sqrt().expand_as(std_g)
        if o["gradcam"] == "off":
            std_g = torch.zeros_like(std_g)
        if low["criterion"] == "quantile":
            chosen = torch.zeros_like(s)
            chosen[torch.sort(s, stable=True).indices[: int(low["quantile"] * len(s) + 1e-9)]] = 1
        else:
            chosen = (s < torch.tensor(low["kappa"]).float().double()).double()
        s_bar = min_max(s)
        if low["minmax"] == "selected" and chosen.sum() > 0:
            part = s[chosen > 0]
            s_bar = torch.where(chosen > 0, (s - part.min()) / (part.max() - part.min()).clamp_min(1e-30), torch.ones_like(s))
        self.r.compare("s_bar", self.get("s_bar"), s_bar, 20 * EXACT)
        std_var = chosen * size(s_bar, o["epsilon_var"]) if o["lowvar"] == "on" else torch.zeros_like(s)
        batch = len(eta_bar)
        if filled < min(self.c["bank"]["min_fill"] * batch, len(self.p["bank.rows"])):
            std_var = torch.zeros_like(s)
        for name, std in (("noise_g", std_g), ("noise_var", std_var.expand_as(eta_bar))):
            noise, on = self.get(name), std > 1e-7 * float(std.max().clamp_min(1e-30))
            good = not bool((noise[~on].abs() > 1e-6 * float(std.max())).any())
            text = f"{int(on.sum())} of {on.numel()} perturbed"
            if on.any():
                u = noise[on] / std[on]
                count = len(u)
                mean, deviation, top = float(u.mean()), float(u.std(unbiased=False)), float(u.abs().max())
                good = good and abs(mean) < 5 / count**0.5 and abs(deviation - 1) < 5 / count**0.5 and top < 6.5
                text += f", in its units mean {mean:.3f}, std {deviation:.3f}, largest {top:.2f}"
            self.r.say(f"{name}: size and support", good, text)
        total = self.get("v") + self.get("noise_g") + self.get("noise_var")
        self.r.compare("v_p = v + noise", self.get("v_p"), torch.relu(total) if o["clamp"] == "relu" else total, EXACT)

    def pairs(self):
        alpha, nu = self.c["pairs"]["alpha"], self.c["pairs"]["nu"]
        v = self.net.encode("encoder", self.get("x"), self.splits, True)
        self.compare("v", v)
        if nu:
            self.saliency(v)
            self.noise(self.bank())
        x_hat = self.net.decode(v, True)
        self.compare("x_hat", x_hat)
        L_R = ((x_hat - self.get("x")) ** 2).mean()
        self.compare("L_R", L_R)
        self.total = self.total + alpha * L_R
        if not nu:
            return
        synth = self.c["synth"]
        delta = self.get("v_p") - self.get("v")
        start = v if synth["grad"] == "full" else v.detach()
        x_hat_p = self.net.decode(start + delta, False)
        self.compare("x_hat_p", x_hat_p)
        a = {"detach": lambda: self.get("x_hat"), "decoder": lambda: self.net.decode(start, False), "full": lambda: x_hat}[synth["grad"]]()
        b = self.get("x_hat_p") if synth["grad"] == "detach" else x_hat_p  # data: the file's, as they are
        how = self.c["bn"]["synth"]
        # Each half has statistics of its own; running ones are averaged over both.
        groups = 2 * self.splits
        v_hat = self.net.encode("encoder", torch.cat([a, b]), groups, how != "batch_only",
                                "synthetic_encoder" if how == "separate" else None)
        raw = self.head(v_hat, groups, False)
        z_hat, z_hat_p = unit(raw).chunk(2)
        self.compare("z_hat", z_hat)
        self.compare("z_hat_p", z_hat_p)
        if synth["loss"] == "simsiam":
            L_Cp = self.cosine(raw, torch.cat([z_hat_p, z_hat]), groups, False).mean()
        else:
            L_Cp = batch_loss(z_hat, z_hat_p, synth["tau"], synth["denominator"] == "with_positive", synth["symmetric"]).mean()
        self.compare("L_Cp", L_Cp)
        self.total = self.total + nu * L_Cp

    def gradients(self):
        self.compare("loss", self.total)
        self.total.backward()
        for name in self.learned:
            want, got = self.p[name].grad, self.get("grad/" + name)
            if want is None or (got is None and not want.abs().max() > 0):
                want = torch.zeros_like(self.p[name]) if want is None else want
                got = torch.zeros_like(want) if got is None else got
            # A bias before a batch norm has no gradient but rounding: measured against its layer's weight.
            other = self.p.get(name[: -len("bias")] + "weight") if name.endswith(".bias") else None
            floor = float(other.grad.abs().max()) if other is not None and other.grad is not None else 0.0
            if got is not None and float(want.abs().max()) < 1e-6 * floor:
                self.r.say("grad/" + name, float(got.abs().max()) < 1e-4 * floor, "nothing but rounding")
                continue
            self.r.compare("grad/" + name, got, want, self.r.gradient, "gradients", by_length=True)
        unknown = [n for n in self.t if n.startswith("grad/") and n[5:] not in self.learned]
        self.r.say("no gradient of anything else", not unknown, " ".join(unknown))

    def updates(self):
        """From the file's own gradients and learned values."""
        c, schedule = self.c["optim"], 0.0 if self.c["schedule"]["warmup_epochs"] > 0 else 1.0
        for name in self.learned:
            w, g, after = self.p[name].detach(), self.get("grad/" + name), self.get("after/" + name)
            if g is None:
                self.r.compare("after/" + name, after, w, 0, "parameters after")
                continue
            adam = name.startswith("decoder.") and self.c["decoder"]["optim"] == "adam"
            kind = "adam" if adam else c["kind"]
            lr = self.c["decoder"]["lr"] if adam else c["lr"]
            decay = self.c["decoder"]["weight_decay"] if adam else c["weight_decay"]
            if not adam and not c["wd_norm"] and w.dim() < 2:
                decay = 0.0
            fixed = name.startswith("predictor.") and self.c["simsiam"]["fix_predictor_lr"]
            lr *= 1.0 if fixed else schedule
            if kind == "adamw":
                w = w * (1 - lr * decay)
            elif decay:
                g = g + decay * w
            if kind == "sgd":
                w = w - lr * (g * (1 + c["momentum"]) if c["nesterov"] else g)
            else:
                w = w - lr * g / (g.abs() + 1e-8)
            self.r.compare("after/" + name, after, w, EXACT, "parameters after")

    def state(self):
        for name, want in self.net.after.items():
            var = self.net.after[name.replace("running_mean", "running_var")]  # a mean may be 0 but for rounding
            self.r.compare("after/" + name, self.get("after/" + name), want, VALUE, "running statistics after",
                           floor=float(var.max().sqrt()) * 0.1)
        others = [n for n in self.p if n.endswith(("running_mean", "running_var")) and n not in self.net.after]
        for name in others:
            self.r.compare("after/" + name, self.get("after/" + name), self.p[name], 0, "running statistics after")
        if not self.moco:
            return
        m = self.c["moco"]["momentum"]
        for name in self.p:
            if name.startswith("key_") and not name.endswith(("running_mean", "running_var")):
                want = m * self.p[name] + (1 - m) * self.get("after/" + name[4:])
                self.r.compare("after/" + name, self.get("after/" + name), want, EXACT, "key encoder after")
        queue, at, key = self.p["queue.keys"].clone(), int(self.p["queue.pointer"]), self.get("key")
        for row in key:
            queue[at] = row
            at = (at + 1) % len(queue)
        self.r.compare("after/queue.keys", self.get("after/queue.keys"), queue, 0)
        self.r.say("after/queue.pointer", int(self.t["after/queue.pointer"]) == at, str(at))


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    if len(names) != 1:
        print(__doc__)
        return 2
    with safe_open(names[0], "pt") as file:
        config, compute = tomllib.loads(file.metadata()["config"]), file.metadata()["compute"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if compute != "f32":
        print(f"check_step: the step was computed in {compute}, not in f32; nothing was checked")
        return 77
    report = Report("--verbose" in sys.argv)
    step = Step(tensors, config, report)
    step.base_loss()
    if config["pairs"]["alpha"] or config["pairs"]["nu"]:
        step.pairs()
    step.gradients()
    step.updates()
    step.state()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
