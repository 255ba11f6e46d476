# Writes blocks.safetensors, optimisers.safetensors, decoder.safetensors and dtypes.safetensors with PyTorch 2 (f64):
# small cases under the names that the tests read; layouts NCHW and OIHW.
import numpy, torch, torchvision
from safetensors.torch import save_file

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)


def randomised(module):
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var") or (value.dim() == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                value.normal_(0, 0.5)
    return module


def recorded(case, module, x):
    """x, y, dy, dx, parameters before, gradients, and running statistics after one pass in training mode."""
    out = {f"{case}.param.{name}": value.clone() for name, value in module.state_dict().items()}
    x.requires_grad_(True)
    y = module.train()(x)
    dy = torch.randn_like(y)
    y.backward(dy)
    out |= {f"{case}.x": x, f"{case}.y": y, f"{case}.dy": dy, f"{case}.dx": x.grad}
    out |= {f"{case}.grad.{name}": p.grad for name, p in module.named_parameters()}
    out |= {f"{case}.after.{name}": b for name, b in module.named_buffers() if "running" in name}
    return {name: value.detach().contiguous() for name, value in out.items()}


def down(inputs, outputs, stride):
    return torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs))


from torchvision.models.resnet import BasicBlock, Bottleneck
blocks = {}
blocks |= recorded("basic", randomised(BasicBlock(3, 3)), torch.randn(2, 3, 4, 3))
blocks |= recorded("basic_down", randomised(BasicBlock(2, 3, 2, down(2, 3, 2))), torch.randn(2, 2, 5, 4))
blocks |= recorded("bottleneck", randomised(Bottleneck(4, 1)), torch.randn(2, 4, 3, 4))
blocks |= recorded("bottleneck_down", randomised(Bottleneck(3, 1, 2, down(3, 4, 2))), torch.randn(3, 3, 4, 4))
save_file(blocks, "blocks.safetensors")


class Up(torch.nn.Module):
    """The "residual" decoder's stage; the skip's 1x1 before the upsampling."""
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(outputs)
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(outputs)
        self.skip = down(inputs, outputs, 1)

    def forward(self, x):
        up = torch.nn.functional.interpolate
        y = torch.relu(self.bn1(self.conv1(up(x, scale_factor=2, mode="nearest"))))
        return torch.relu(self.bn2(self.conv2(y)) + up(self.skip(x), scale_factor=2, mode="nearest"))


class Residual(torch.nn.Module):
    """make_decoder({"residual", widths (3, 2)}) for 5 features and 8 pixels. The linear layer's rows are in NHWC order."""
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(5, 2 * 2 * 3)
        self.stage1 = torch.nn.Sequential(Up(3, 3))
        self.stage2 = torch.nn.Sequential(Up(3, 2))
        self.out = torch.nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, v):
        return self.out(self.stage2(self.stage1(self.fc(v).view(-1, 2, 2, 3).permute(0, 3, 1, 2))))


save_file(recorded("residual", randomised(Residual()), torch.randn(3, 5)), "decoder.safetensors")

optimisers = {}
start = [torch.randn(2, 3), torch.randn(3)]
for i, p in enumerate(start):
    optimisers[f"param{i}"] = p
    for step in range(1, 6):
        optimisers[f"grad{i}.step{step}"] = torch.randn_like(p)
kinds = {
    "sgd_lr0.1": lambda p: torch.optim.SGD(p, 0.1),
    "sgd_lr0.03_m0.9_wd1e-4": lambda p: torch.optim.SGD(p, 0.03, momentum=0.9, weight_decay=1e-4),
    "sgd_nesterov_lr0.05_m0.8_wd5e-4": lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, weight_decay=5e-4, nesterov=True),
    "adam_lr1e-3": lambda p: torch.optim.Adam(p, 1e-3),
    "adam_lr2e-3_b0.5_0.99_wd1e-2": lambda p: torch.optim.Adam(p, 2e-3, (0.5, 0.99), weight_decay=1e-2),
    "adamw_lr1e-3_wd0.05": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.05),
}
for kind, make in kinds.items():
    parameters = [torch.nn.Parameter(p.clone()) for p in start]
    optimiser = make(parameters)
    for step in range(1, 6):
        for i, p in enumerate(parameters):
            p.grad = optimisers[f"grad{i}.step{step}"].clone()
        optimiser.step()
        for i, p in enumerate(parameters):
            optimisers[f"{kind}.param{i}.step{step}"] = p.detach().clone()
one = torch.nn.Parameter(torch.zeros(1))
optimiser = torch.optim.SGD([one], 0.03)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 20)
rates = []
for epoch in range(20):
    rates.append(optimiser.param_groups[0]["lr"])
    optimiser.step()
    schedule.step()
optimisers["cosine_lr_0.03_20"] = torch.tensor(rates)
save_file(optimisers, "optimisers.safetensors")

save_file({
    "f64": torch.tensor([1 / 3, -0.0, 1e300]),
    "f32": torch.tensor([[0.1, float("inf")], [-2.5, 1e-45]], dtype=torch.float32),
    # one, smallest and largest subnormal, smallest normal, largest, infinities, -0
    "f16": torch.tensor([1.0, 2.0**-24, 1023 * 2.0**-24, 2.0**-14, 65504, float("inf"), -float("inf"), -0.0, -1.5], dtype=torch.float16),
    "bf16": torch.tensor([0.5, 3.140625], dtype=torch.bfloat16),
    "i64": torch.tensor([-(2**62), 5]), "i32": torch.tensor([-(2**31), 7], dtype=torch.int32),
    "i16": torch.tensor([-32768, 12], dtype=torch.int16), "i8": torch.tensor([-128, 127], dtype=torch.int8),
    "u8": torch.tensor([0, 255], dtype=torch.uint8), "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(2.5, dtype=torch.float32), "empty": torch.zeros(0, 4, dtype=torch.float32),
}, "dtypes.safetensors", metadata={"made by": "the safetensors package", "quote": "\"\u00e9\""})
