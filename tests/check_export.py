"""Checks an exported encoder in other programs: python check_export.py encoder.safetensors encoder.onnx expected.safetensors

expected.safetensors: x [N, 3, H, W], features [N, n], by plumage. Exit code 77: the program named on the last line is absent.
"""
import sys

try:
    import numpy
    from safetensors.numpy import load_file
except ImportError as absent:
    print(f"no {absent.name}")
    sys.exit(77)

encoder, onnx_file, expected = sys.argv[1:4]
which = sys.argv[4]
values = load_file(expected)
x, wanted = values["x"], values["features"]


def check(who, features):
    error = numpy.abs(features - wanted).max() / numpy.abs(wanted).max()
    print(f"{who}: {features.shape} differs by {error:.2e}")
    if not (features.shape == wanted.shape and error <= 1e-4):
        sys.exit(1)


try:
    if which == "torchvision":
        import torch
        import torchvision
        from safetensors.torch import load_file as load_torch

        net = torchvision.models.resnet18()
        report = net.load_state_dict(load_torch(encoder), strict=False)
        assert not report.unexpected_keys and set(report.missing_keys) == {"fc.weight", "fc.bias"}, report
        net.fc = torch.nn.Identity()
        net.load_state_dict(load_torch(encoder), strict=True)
        with torch.no_grad():
            check(which, net.eval()(torch.tensor(x)).numpy())
    if which == "timm":
        import timm
        import torch

        net = timm.create_model("resnet18", pretrained=False, num_classes=0, checkpoint_path=encoder)
        with torch.no_grad():
            check(which, net.eval()(torch.tensor(x)).numpy())
    if which == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
        assert [i.name for i in session.get_inputs()] == ["images"] and [o.name for o in session.get_outputs()] == ["features"]
        check(which, session.run(None, {"images": x})[0])
        one = session.run(None, {"images": x[:1]})[0]  # another batch size
        assert one.shape[0] == 1 and numpy.abs(one - wanted[:1]).max() <= 1e-4 * numpy.abs(wanted).max()
    if which == "onnx":
        import onnx

        model = onnx.load(onnx_file)
        onnx.checker.check_model(model, full_check=True)
        assert [o.version for o in model.opset_import] == [17]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
except ImportError as absent:
    print(f"no {absent.name}")
    sys.exit(77)
