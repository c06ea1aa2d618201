"""`python -m vgg16 evaluate`: how often a network is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vgg16 import BadData
from vgg16.__main__ import main
from vgg16.evaluate import outputs_of, top_k
from vgg16.weights import imagenet_classes


def test_a_network_that_was_trained_and_saved_is_evaluated(
    tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, results = tmp_path / "light.safetensors", tmp_path / "results"
    train = ["train", "--data", str(tiny_set), "--results", str(results), "--preset", "demo", "--epochs", "1"]
    assert main([*train, "--device", "cpu", "--save", str(saved)]) == 0
    out = capsys.readouterr().out
    accuracy = next(line for line in out.splitlines() if line.startswith("held-out accuracy")).split()[2]
    command = ["evaluate", "--data", str(tiny_set / "valid"), "--weights", str(saved), "--device", "cpu"]
    assert main([*command, "--image-size", "48"]) == 0
    assert f"light.safetensors: top-1 {accuracy} of 8 pictures" in capsys.readouterr().out


def test_a_picture_of_a_class_that_the_network_does_not_know_is_bad_input(
    tiny_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--data", str(tiny_set / "valid"), "--weights", "none", "--device", "cpu"]) == 1
    assert "no class of the network is named 'dark'; it knows tench, goldfish" in capsys.readouterr().err


def test_a_right_answer_is_counted_among_the_k_most_probable() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.35, 0.25]])
    truth = [{0}, {1}, {2}]
    assert [top_k(probabilities, truth, k) for k in (1, 2, 3)] == [1 / 3, 2 / 3, 1.0]


def test_imagenet_s_own_folders_and_names_find_their_outputs() -> None:
    names = list(imagenet_classes())
    ids = tuple(f"n{number:08d}" for number in range(1000))
    assert outputs_of(ids, names) == [{number} for number in range(1000)]
    assert outputs_of(("goldfish",), names) == [{1}]
    twice = next(name for name in names if names.count(name) == 2)
    assert len(outputs_of((twice,), names)[0]) == 2
    with pytest.raises(BadData):
        outputs_of(("goldfish", "unicorn"), names)
