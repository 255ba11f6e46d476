"""Equations 1 to 8 of the paper on small cases, computed by PyTorch straight from the text.

    python tests/ssl/expected/equations.py > tests/ssl/expected/equations.txt

Needs torch (2.x, CPU). A line is `name count value...`; matrices row by row. All numbers are float64.
"""
import torch

torch.manual_seed(20261124)
torch.set_default_dtype(torch.float64)
TAU = 0.2


def put(name, value):
    value = torch.as_tensor(value, dtype=torch.float64).reshape(-1)
    print(name, value.numel(), " ".join(repr(float(v)) for v in value))


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


# --- MoCo's loss (He et al., eq. 1) and the same without the positive in the denominator (eq. 1 of the paper)
raw_q, k, queue = torch.randn(3, 4), unit(torch.randn(3, 4)), unit(torch.randn(5, 4))
put("queue.raw_q", raw_q), put("queue.k", k), put("queue.queue", queue)
for with_positive in (True, False):
    leaf = raw_q.clone().requires_grad_()
    losses = []
    for i in range(3):
        q = unit(leaf[i])
        positive = torch.exp((q * k[i]).sum() / TAU)
        denominator = sum(torch.exp((q * n).sum() / TAU) for n in queue)
        if with_positive:
            denominator = denominator + positive
        losses.append(-torch.log(positive / denominator))
    losses = torch.stack(losses)
    losses.mean().backward()
    name = "queue.with" if with_positive else "queue.without"
    put(name + ".loss", losses.detach()), put(name + ".grad_raw_q", leaf.grad)

# --- eq. 7: B_r is all 2B images; z_hat and z_hat_p are left out of the sum (or, an option, only z_hat is)
raw_a, raw_b = torch.randn(4, 3), torch.randn(4, 3)
put("batch.raw_a", raw_a), put("batch.raw_b", raw_b)


def pair_loss(all_z, i, j, with_positive):
    total = 0
    for m in range(len(all_z)):
        if m == i or (m == j and not with_positive):
            continue
        total = total + torch.exp((all_z[i] * all_z[m]).sum() / TAU)
    return -torch.log(torch.exp((all_z[i] * all_z[j]).sum() / TAU) / total)


for with_positive in (True, False):
    for symmetric in (True, False):
        a, b = raw_a.clone().requires_grad_(), raw_b.clone().requires_grad_()
        all_z = torch.cat([unit(a), unit(b)])
        losses = [pair_loss(all_z, i, i + 4, with_positive) for i in range(4)]
        if symmetric:
            losses += [pair_loss(all_z, i + 4, i, with_positive) for i in range(4)]
        losses = torch.stack(losses)
        losses.mean().backward()
        name = f"batch.{'with' if with_positive else 'without'}.{'symmetric' if symmetric else 'one_sided'}"
        put(name + ".loss", losses.detach()), put(name + ".grad_raw_a", a.grad), put(name + ".grad_raw_b", b.grad)

# --- SimSiam's negative cosine
p, z = torch.randn(3, 4), torch.randn(3, 4)
leaf = p.clone().requires_grad_()
losses = torch.stack([-(leaf[i] @ z[i]) / (leaf[i].norm() * z[i].norm()) for i in range(3)])
losses.mean().backward()
put("cosine.p", p), put("cosine.z", z), put("cosine.loss", losses.detach()), put("cosine.grad_p", leaf.grad)

# --- eq. 2
x, x_hat = torch.randn(2, 2, 2, 3), torch.randn(2, 2, 2, 3)
leaf = x_hat.clone().requires_grad_()
m = 2 * 2 * 3
loss = torch.stack([((x[i] - leaf[i]) ** 2).sum() / m for i in range(2)]).mean()
loss.backward()
put("mse.x", x), put("mse.x_hat", x_hat), put("mse.loss", loss.detach()), put("mse.grad_x_hat", leaf.grad)

# --- eq. 3 to 6. A head of one linear layer, the loss against a queue.
n, batch = 10, 3
w, v = torch.randn(4, n), torch.relu(torch.randn(batch, n))
leaf = v.clone().requires_grad_()
q = unit(leaf @ w.T)
total = 0
for i in range(batch):
    positive = torch.exp((q[i] * k[i]).sum() / TAU)
    total = total - torch.log(positive / (positive + sum(torch.exp((q[i] * r).sum() / TAU) for r in queue)))
(g,) = torch.autograd.grad(total, leaf)
put("saliency.w", w), put("saliency.v", v), put("saliency.gradient", g)


def min_max(x):
    return (x - x.min()) / (x.max() - x.min())


etas = {"loss": torch.relu(g * v), "negative_loss": torch.relu(-g * v), "abs": (g * v).abs()}
for name, eta in etas.items():
    put(f"saliency.{name}.eta", eta)
    put(f"saliency.{name}.eta_bar", torch.stack([min_max(row) for row in eta]))
    # Clipped at the value that a tenth of the row reaches (of 10: the largest; of 30: the third largest).
    # Rank: how many are smaller, over n - 1; 0 where eta is the row's least.
    put(f"saliency.{name}.rank",
        torch.stack([torch.tensor([0.0 if e == row.min() else float((row < e).sum()) / (n - 1) for e in row])
                     for row in eta]))
long_row = torch.rand(30) + 0.1
clip = torch.sort(long_row, descending=True).values[2]
put("p90.eta", long_row), put("p90.eta_bar", min_max(torch.minimum(long_row, clip)))

eta_bar = torch.stack([min_max(row) for row in etas["loss"]])
eps_g, eps_var = 0.1, 0.05
put("noise_g.std", eps_g * (1 - eta_bar)), put("noise_g.variance", torch.sqrt(eps_g * (1 - eta_bar)))
put("noise_g.isotropic", (eps_g * (1 - eta_bar)).square().mean(1).sqrt())

bank = torch.randn(6, n).abs() * torch.linspace(0.05, 1.0, n) + torch.linspace(1.0, 0.1, n)
put("bank.rows", bank)
columns = bank / bank.norm(dim=0, keepdim=True)
rows = bank / bank.norm(dim=1, keepdim=True)
criteria = {
    "raw": bank.var(0, unbiased=False),
    "column_l2": columns.var(0, unbiased=False),
    "row_l2_std": rows.std(0, unbiased=False),
    "cv": bank.std(0, unbiased=False) / bank.mean(0).abs(),
}
for name, s in criteria.items():
    put(f"bank.{name}.s", s)
put("bank.rms_std", bank.var(0, unbiased=False).mean().sqrt())

s = criteria["raw"]
kappa = float(torch.sort(s).values[4])  # 4 of 10 are below it
s_bar = min_max(s)
chosen = (s < kappa).double()
put("lowvar.kappa", kappa), put("lowvar.selected", chosen), put("lowvar.s_bar", s_bar)
put("lowvar.std", chosen * eps_var * (1 - s_bar))
put("lowvar.std_of_variance", chosen * torch.sqrt(eps_var * (1 - s_bar)))
low = s[chosen.bool()]
over_chosen = (s - low.min()) / (low.max() - low.min())
put("lowvar.std_over_selected", chosen * eps_var * (1 - over_chosen))
order = torch.argsort(s)
for share, count in ((0.2, 2), (0.35, 3), (0.0, 0), (1.0, 10)):
    marked = torch.zeros(n)
    marked[order[:count]] = 1
    put(f"quantile.{share}", marked)
