"""Small sound files for the fuzzers to begin from: tests/fuzz/seeds/TARGET.

python make_seeds.py   (reads tests/nn/expected/weights, which make_weights.py there wrote)
"""
import os
import shutil
import zipfile

here = os.path.dirname(os.path.abspath(__file__))
weights = os.path.join(here, "../nn/expected/weights")
seed = lambda target, name: os.path.join(here, "seeds", target, name)
for target in ("pickle", "zip", "legacy", "safetensors"):
    os.makedirs(os.path.dirname(seed(target, "x")), exist_ok=True)

shutil.copy(os.path.join(weights, "unsigned.no_crc"), seed("zip", "unsigned"))
shutil.copy(os.path.join(weights, "checkpoint.legacy"), seed("legacy", "checkpoint"))
for name in ("tensors.protocol2", "tensors.protocol4", "checkpoint.zip"):
    with zipfile.ZipFile(os.path.join(weights, name)) as archive:
        pickle = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        with open(seed("pickle", name), "wb") as file:
            file.write(archive.read(pickle))
header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"k":"v"},"b":{"dtype":"I8","shape":[],"data_offsets":[8,9]}}'
with open(seed("safetensors", "two"), "wb") as file:
    file.write(len(header).to_bytes(8, "little") + header + bytes(9))
