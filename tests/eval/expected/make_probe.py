"""Minima of penalised softmax regression by PyTorch's L-BFGS in double precision; prints probe.txt.

Features: v[i][j] = sin(1.3 i + 2.1 j + 0.7 i j), 30 x 4, labels i mod 3; loss = mean cross-entropy
+ penalty / 2 |W|^2, biases free. A line: penalty, normalised (0/1), loss, W row by row, b (centred: a constant
added to all biases changes nothing).
"""
import torch

torch.set_default_dtype(torch.float64)
i, j = torch.arange(30.0)[:, None], torch.arange(4.0)[None]
v = torch.sin(1.3 * i + 2.1 * j + 0.7 * i * j)
labels = torch.arange(30) % 3
for penalty in (1e-1, 1e-3):
    for normalised in (0, 1):
        x = torch.nn.functional.normalize(v) if normalised else v
        w = torch.zeros(3, 4, requires_grad=True)
        b = torch.zeros(3, requires_grad=True)
        solver = torch.optim.LBFGS([w, b], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16,
                                   line_search_fn="strong_wolfe")

        def loss():
            return torch.nn.functional.cross_entropy(x @ w.T + b, labels) + penalty / 2 * (w ** 2).sum()

        def closure():
            solver.zero_grad()
            value = loss()
            value.backward()
            return value

        solver.step(closure)
        numbers = [loss().item(), *w.detach().flatten().tolist(), *(b - b.mean()).tolist()]
        print(penalty, normalised, *(f"{n:.9f}" for n in numbers))
