"""Whether cuDNN's fused convolution, bias and ReLU would speed up a pass without gradients: a GPU alone.

    python benchmarks/vgg16_fused.py [--small]

PyTorch computes them in three passes over the activations: on an H200 the convolutions took 39 % of a forward
pass's time, bias and ReLU 41 % (docs/gpu.md). vgg16 does not use `torch.cudnn_convolution_relu` until it was
right and faster on a card: its fourth operand, times 0, is memory that nothing has written yet, and it was
slow with three channels (github.com/pytorch/pytorch/issues/68506), which are left out here.

Prints JSON: images/s plain and fused, each alone and compiled; the largest difference of the logits as a
share of the largest logit; whether memory full of NaN showed through.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "remote"), str(Path(__file__).parent)]

from vgg16_speed import Bench, _rate, matmul_tflops  # noqa: E402

from vgg16.device import choose_precision  # noqa: E402

_ONE = (1, 1)


@torch.library.custom_op("vgg16::convolve", mutates_args=())  # so that torch.compile takes it as it is
def convolve(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ReLU of the convolution. images (n, in, h, w), weight (out, in, 3, 3) -> (n, out, h, w)."""
    if images.is_cuda:
        return torch.cudnn_convolution_relu(images, weight, bias, _ONE, _ONE, _ONE, 1)
    return F.conv2d(images, weight, bias, padding=1).relu_()


@convolve.register_fake
def _(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, _, height, width = images.shape
    made = images.new_empty(n, len(weight), height, width)
    return made.to(memory_format=torch.channels_last) if images.is_cuda else made


class Fused(nn.Module):
    """The convolutions of VGG16 with their ReLUs; the first layer as it is."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: Tensor) -> Tensor:
        rectified = False
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d) and layer.in_channels % 8 == 0:
                images, rectified = convolve(images, layer.weight, layer.bias), True
            elif not (rectified and isinstance(layer, nn.ReLU)):
                images, rectified = layer(images), False
        return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a CPU and a few seconds, to try the code")
    small = parser.parse_args().small
    gpu = torch.cuda.is_available()
    if not gpu and not small:
        sys.exit("no GPU that PyTorch can use")
    device = torch.device("cuda" if gpu else "cpu")
    torch.backends.cudnn.benchmark = True
    precision = choose_precision("bf16" if gpu else "fp32", device)
    size, batch, width, seconds = (32, 4, 8, 0.01) if small else (224, 256, 64, 0.5)
    limit = matmul_tflops(device, precision.name, seconds)
    bench = Bench(device, precision, size, batch, width, compiled=False)
    gflop = bench.cases()[0].gflop
    net = bench._network().eval()
    images = bench.images.to(device, memory_format=torch.channels_last)
    plain, fused = net.features, Fused(net.features)
    found: dict[str, object] = {}
    logits: dict[str, Tensor] = {}
    with torch.inference_mode(), precision.cast_once(net, 0), precision.autocast():
        for name, layers, compiled in (
            ("plain", plain, False),
            ("fused", fused, False),
            ("plain compiled", plain, True),
            ("fused compiled", fused, True),
        ):
            net.features = layers
            torch._dynamo.reset()
            run: Callable[[Tensor], Tensor] = torch.compile(net) if compiled and gpu else net
            run(images)
            if gpu:  # what is freed now is what the next results are written to
                spoilt = [torch.full((1 << 28,), float("nan"), device=device) for _ in range(4)]
                del spoilt
            logits[name] = run(images).float()

            def take(run: Callable[[Tensor], Tensor] = run) -> int:
                run(images)
                return batch

            rate = _rate(take, device, seconds)
            found[name] = {"images_per_s": rate, "share": rate * gflop / 1000 / limit}
    right = logits["plain"]
    apart = max(float((each - right).abs().max()) for each in logits.values())
    found["difference"] = apart / float(right.abs().max())
    found["nan"] = any(bool(each.isnan().any()) for each in logits.values())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
