"""The network is table D, to the last bit that floating point allows; its gradients are right."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vgg16.device import fused
from vgg16.model import CAFFE, RANDOM, TORCHVISION, VGG16, Dropout, Normalise
from vgg16.weights.initialise import random_state

# Simonyan and Zisserman, table 1, column D, written out again on purpose.
BLOCKS = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
FEATURE_LAYERS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def small(width: int = 8, classes: int = 5, seed: int = 0) -> VGG16:
    net = VGG16(TORCHVISION.at(64), classes, width=width)
    net.load_state_dict(random_state(net, seed), assign=True)
    return net.eval()


def table_d(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """An independent forward pass: images (n, 3, h, w), bytes, to logits."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    flow = (images.double() / 255 - mean) / std
    layers = iter(FEATURE_LAYERS)
    for _, convolutions in BLOCKS:
        for _ in range(convolutions):
            layer = next(layers)
            weight, bias = state[f"features.{layer}.weight"], state[f"features.{layer}.bias"]
            flow = F.conv2d(flow, weight.double(), bias.double(), stride=1, padding=1).clamp(min=0)
        flow = F.max_pool2d(flow, kernel_size=2, stride=2)
    flow = F.adaptive_avg_pool2d(flow, (7, 7)).reshape(len(images), -1)
    for layer in (0, 3):
        weight, bias = state[f"classifier.{layer}.weight"], state[f"classifier.{layer}.bias"]
        flow = (flow @ weight.double().T + bias.double()).clamp(min=0)
    return flow @ state["classifier.6.weight"].double().T + state["classifier.6.bias"].double()


@pytest.mark.parametrize("size", [224, 64, 75])
def test_the_forward_pass_is_table_d(size: int) -> None:
    net = small()
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        ours = net(images).double()
    theirs = table_d(net.state_dict(), images)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_convolutions_with_their_relus_as_one_operation_are_the_same(compiled: bool) -> None:
    """Only a GPU has that operation (test_gpu.py); the layers and the added channels are the same here."""
    net = small(4)
    for layer in net.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    images = net.normalise(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    with torch.inference_mode():
        expected = net.features(images)
        at_once = fused.prepare(net).features.at_once
        work = torch.compile(at_once, backend="eager", fullgraph=True) if compiled else at_once
        torch.testing.assert_close(work(images), expected)


def test_it_has_the_official_file_s_names_shapes_and_parameters() -> None:
    state = VGG16(TORCHVISION).state_dict()
    expected = {f"features.{n}" for n in FEATURE_LAYERS} | {f"classifier.{n}" for n in (0, 3, 6)}
    assert set(state) == {f"{layer}.{kind}" for layer in expected for kind in ("weight", "bias")}
    assert sum(tensor.numel() for tensor in state.values()) == 138_357_544
    assert state["features.28.weight"].shape == (512, 512, 3, 3)
    assert state["classifier.0.weight"].shape == (4096, 25088)


def test_a_picture_costs_30_9_gflop() -> None:
    """torchvision publishes 15.47 for VGG16_Weights.IMAGENET1K_V1; it counts a multiply-add once."""
    net = VGG16(TORCHVISION).to("meta")
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 224, 224, dtype=torch.uint8, device="meta"))
    assert counter.get_total_flops() == pytest.approx(30.94e9, rel=1e-3)


def test_dropout_keeps_half_of_the_inputs_doubled_and_all_when_not_training() -> None:
    layer, ones = Dropout(), torch.ones(64, 4096, requires_grad=True)
    torch.manual_seed(3)
    first = layer(ones)
    assert first.unique().tolist() == [0.0, 2.0]
    assert first.mean().item() == pytest.approx(1, abs=0.01)  # ten standard deviations
    assert not torch.equal(first, layer(ones))
    torch.manual_seed(3)
    assert torch.equal(first, layer(ones))
    first.sum().backward()
    assert torch.equal(ones.grad, first)
    assert layer(ones[:1, :3]).shape == (1, 3), "any number of inputs"
    assert torch.equal(layer.eval()(ones), ones)


def test_only_the_new_last_layer_learns_after_finetuning() -> None:
    net = VGG16(TORCHVISION)
    net.replace_last(2, seed=0)
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 8_194
    assert net.convolutions_are_frozen


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    net = VGG16(RANDOM.at(32), 3, width=1, hidden=8)
    net.load_state_dict(random_state(net, 3), assign=True)
    net.double().eval()
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):  # zero would sit on ReLU's kink, where there is no one derivative
            parameter.data.uniform_(-0.3, 0.3)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 255
    # `normalise` gives floats; in double the differences are exact enough.
    flow = (images - net.normalise.mean) / net.normalise.std
    labels = torch.tensor([0, 2])

    def loss() -> Tensor:
        features = net.avgpool(net.features(flow)).flatten(1)
        return F.cross_entropy(net.classify(features), labels)

    loss().backward()
    step = 1e-6
    checked = 0
    for name, parameter in net.named_parameters():
        flat = parameter.detach().view(-1)
        for at in {0, flat.numel() // 2, flat.numel() - 1}:
            before = flat[at].item()
            with torch.no_grad():
                flat[at] = before + step
                above = loss().item()
                flat[at] = before - step
                below = loss().item()
                flat[at] = before
            assert parameter.grad is not None
            difference = (above - below) / (2 * step)
            assert parameter.grad.view(-1)[at].item() == pytest.approx(difference, rel=1e-4, abs=1e-7), name
            checked += abs(difference) > 1e-6
    assert checked > 20  # the comparison was not between zeros


def test_a_state_dict_survives_a_file(tmp_path) -> None:
    net, other = small(seed=0), small(seed=1)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    other.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    with torch.inference_mode():
        assert torch.equal(net(images), other(images))


def test_an_unfilled_network_refuses_to_compute() -> None:
    with pytest.raises(Exception, match="meta"):
        VGG16(TORCHVISION, width=8)(torch.zeros(1, 3, 32, 32))


def test_colours_are_those_that_the_weights_were_trained_on() -> None:
    orange = torch.tensor([255, 128, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    caffe = Normalise(CAFFE)(orange).flatten()
    # BGR, the means off, no division.
    torch.testing.assert_close(caffe, torch.tensor([0 - 103.939, 128 - 116.779, 255 - 123.68]))
    rgb = Normalise(TORCHVISION)(orange).flatten()
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    torch.testing.assert_close(rgb, torch.tensor(expected))


def test_calibrated_random_features_keep_pictures_apart() -> None:
    from vgg16.weights.initialise import calibrate

    net = VGG16(RANDOM.at(32), 2, width=16)
    net.load_state_dict(random_state(net, 0), assign=True)
    images = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)

    def likeness() -> float:
        with torch.inference_mode():
            directions = F.normalize(net.convolve(images))
        return ((directions @ directions.T).sum() - 32).item() / (32 * 31)

    plain = likeness()
    calibrate(net, images)
    # Of two pictures' cosine distances: plain random layers leave almost nothing of it.
    assert 1 - likeness() > 5 * (1 - plain)
