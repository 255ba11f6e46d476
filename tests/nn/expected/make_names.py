# Writes resnet{18,34,50}_names.txt: the tensors of torchvision's networks, without num_batches_tracked.
import torchvision

for arch in ("resnet18", "resnet34", "resnet50"):
    with open(f"{arch}_names.txt", "w") as out:
        for name, value in getattr(torchvision.models, arch)().state_dict().items():
            if not name.endswith("num_batches_tracked"):
                print(name, list(value.shape), file=out)
