"""Small files of weights as PyTorch writes them, and the same numbers as safetensors: tests/nn/expected/weights.

python make_weights.py   (PyTorch 2.15.0, safetensors 0.8.0)
"""
import argparse
import collections
import os

import numpy
import torch
from safetensors.torch import save_file

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights")
os.makedirs(folder, exist_ok=True)
path = lambda name: os.path.join(folder, name)

base = torch.arange(24, dtype=torch.float32).view(4, 6) / 7
tensors = {
    "base": base, "transposed": base.t(), "column": base[:, 2], "strided": base[1::2, ::3], "last": base[3, 5],
    "expanded": base[:1].expand(3, 6), "empty": base[:0], "permuted": torch.arange(6.).view(1, 2, 3).permute(2, 0, 1),
    "f64": torch.tensor([1 / 3, -0.0, 1e300], dtype=torch.float64), "f16": torch.tensor([1 / 3, 6e-8, -65504], dtype=torch.float16),
    "bf16": torch.tensor([1 / 3, -1e30], dtype=torch.bfloat16), "i64": torch.tensor([-2**62, 3]), "i32": torch.tensor([-2**31, 4], dtype=torch.int32),
    "i16": torch.tensor([-2**15, 5], dtype=torch.int16), "i8": torch.tensor([-128, 6], dtype=torch.int8),
    "u8": torch.tensor([255, 7], dtype=torch.uint8), "bool": torch.tensor([True, False]), "scalar": torch.tensor(2.5),
    "parameter": torch.nn.Parameter(torch.tensor([8.0])),
}
save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, path("tensors.safetensors"))
torch.save(tensors, path("tensors.legacy"), _use_new_zipfile_serialization=False)
for protocol in (2, 4):
    torch.save(tensors, path(f"tensors.protocol{protocol}"), pickle_protocol=protocol)
torch.serialization.set_crc32_options(False)
torch.save({"u16": torch.tensor([65535, 9], dtype=torch.uint16), "u32": torch.tensor([2**32 - 1], dtype=torch.uint32)}, path("unsigned.no_crc"))
torch.serialization.set_crc32_options(True)

# What training programs put beside the weights: options, NumPy scalars, an optimiser, a module's own dictionary with its
# _metadata, a dictionary that holds itself.
model = torch.nn.Sequential(collections.OrderedDict(conv1=torch.nn.Conv2d(3, 2, 1, bias=False)))
with torch.no_grad():
    model.conv1.weight.copy_(torch.arange(6.).view(2, 3, 1, 1))
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(1, 3, 2, 2)).sum().backward()
optimizer.step()
with torch.no_grad():
    model.conv1.weight.copy_(torch.arange(6.).view(2, 3, 1, 1))
checkpoint = {"epoch": 3, "best": numpy.float64(0.5), "args": argparse.Namespace(lr=0.1, name="run"), "state_dict": model.state_dict(),
              "optimizer": optimizer.state_dict(), "seen": collections.defaultdict(list, a=[1, -2, 2**40])}
checkpoint["itself"] = checkpoint
torch.save(checkpoint, path("checkpoint.zip"))
torch.save(checkpoint, path("checkpoint.legacy"), _use_new_zipfile_serialization=False)
