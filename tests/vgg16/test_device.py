"""The CPU is never taken by mistake; why PyTorch cannot use a card, from PyTorch's own words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vgg16 import Problem, device
from vgg16.__main__ import main
from vgg16.device import __main__ as trial
from vgg16.device import cuda
from vgg16.lesson import Vgg16

NOTEBOOK = Path(__file__).parents[2] / "remote" / "notebooks" / "lesson1.ipynb"

# CUDAFunctions.cpp of PyTorch, as in github.com/weaviate/Verba/issues/72 (driver 470: CUDA 11.4).
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by "
    "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx "
    "Alternatively, go to: https://pytorch.org to install a PyTorch version that has been compiled with your "
    "version of the CUDA driver."
)
# The same file; github.com/pytorch/pytorch/issues/3864 has it as an AssertionError.
NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver "
    "from http://www.nvidia.com/Download/index.aspx"
)
# The University of Massachusetts' help desk, job 34002652 on an A100 node without its Fabric Manager.
NO_FABRIC = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
    "NumCudaDevices() that might have already set an error? Error 802: system not yet initialized"
)
# github.com/lhotse-speech/lhotse/issues/793
UNKNOWN = (
    "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env variable "
    "CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system root without a card, in place of this machine's."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "_DEVICES", tmp_path / "dev")
    monkeypatch.setattr(device, "_PCI", tmp_path / "pci")
    monkeypatch.setattr(cuda, "_DRIVER", tmp_path / "version")
    (tmp_path / "dev").mkdir()
    return tmp_path


def put_card(machine: Path, *, driver: str = "") -> None:
    """driver: of the kernel, that has the card: "nvidia", "nouveau", "" for none."""
    slot = machine / "pci" / "0000:00:1e.0"
    slot.mkdir(parents=True)
    (slot / "vendor").write_text("0x10de\n")
    (slot / "class").write_text("0x030200\n")
    if driver:
        (machine / driver).mkdir()
        (slot / "driver").symlink_to(machine / driver)
    if driver == "nvidia":
        (machine / "dev" / "nvidia0").touch()


def put_driver(machine: Path, version: str) -> None:
    text = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Sat Oct  7 15:39:11 UTC 2023\n"
    (machine / "version").write_text(text)


def test_a_machine_without_a_card_computes_on_the_cpu(machine: Path) -> None:
    assert device.choose().type == "cpu"


@pytest.mark.parametrize("driver", ["nvidia", ""])
def test_a_machine_with_a_card_does_not_silently_compute_on_the_cpu(machine: Path, driver: str) -> None:
    put_card(machine, driver=driver)
    with pytest.raises(Problem, match="cannot use the NVIDIA card.*--device cpu") as raised:
        device.choose()
    assert "\n" not in str(raised.value)
    assert device.choose("cpu").type == "cpu"


def test_a_card_that_another_driver_has_or_that_is_hidden_is_not_ours(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_card(machine, driver="nouveau")
    assert device.choose().type == "cpu"
    (machine / "dev" / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device.choose().type == "cpu"


def test_a_device_that_does_not_exist_is_one_line(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem, match="--device gpu: there is no such device"):
        device.choose("gpu")
    with pytest.raises(Problem, match="--device cuda: PyTorch .* is a build without CUDA"):
        device.choose("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert str(device.choose("cuda:3")) == "cuda:3"
    with pytest.raises(Problem, match="--device cuda:4: this machine's GPUs are cuda:0 to cuda:3"):
        device.choose("cuda:4")


def test_train_and_the_seven_lines_refuse_the_cpu_where_there_is_a_card(
    machine: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_card(machine, driver="nvidia")
    words = ["train", "--data", str(tiny_set), "--results", str(tmp_path / "results"), "--preset", "demo"]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: PyTorch ") and "--device cpu" in line
    with pytest.raises(Problem, match="--device cpu"):
        Vgg16("none", size=32, width=8, cache=None)
    assert main([*words, "--epochs", "1", "--image-size", "32", "--device", "cpu"]) == 0


def test_the_notebook_does_not_become_the_small_demo_on_a_machine_with_a_card(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LESSON_DATA", str(tmp_path))
    monkeypatch.setenv("VGG16_SIZE", "")
    monkeypatch.delenv("VGG16_SIZE")
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    first = "".join(next(cell for cell in cells if cell["cell_type"] == "code")["source"])
    put_card(machine, driver="nvidia")
    with pytest.raises(Problem, match="cannot use the NVIDIA card"):
        exec(compile(first, "lesson1.ipynb", "exec"), {})


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("", "no NVIDIA driver runs"),
        # uv's --torch-backend=auto takes the CPU build for it
        ("470.223.02", "no build of it runs on driver 470.223.02; take an image with driver 525 or newer"),
        (
            "570.133.20",
            "builds with CUDA come from https://download.pytorch.org/whl; let the machine reach it",
        ),
    ],
)
def test_a_build_without_cuda_says_where_the_others_are(machine: Path, driver: str, expected: str) -> None:
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch has CUDA")
    if driver:
        put_driver(machine, driver)
    assert f"PyTorch {torch.__version__} is a build without CUDA" in cuda.why_not()
    assert expected in cuda.why_not()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            TOO_OLD,
            "the NVIDIA driver 470.223.02 is too old for this PyTorch: CUDA 13.0 needs driver 580 or newer",
        ),
        (NO_DRIVER, "no NVIDIA driver runs"),
        (NO_FABRIC, "nvidia-fabricmanager must run, in exactly the driver's version 470.223.02"),
        (UNKNOWN, "PyTorch cannot use the NVIDIA card: CUDA unknown error - this may be due"),
    ],
)
def test_what_keeps_pytorch_from_the_card_is_one_line_with_what_to_do(
    machine: Path,
    said: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def init() -> None:
        raise RuntimeError(said)

    put_driver(machine, "470.223.02")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    assert trial.main() == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert expected in line and "`" in line


# torch.cuda.get_arch_list() as reported, and a card's compute capability.
CU128_ARM = ["sm_80", "sm_90", "sm_100", "sm_120"]  # 2.9.1+cu128, github.com/OpenRAL/openral/pull/167
# github.com/debpalash/VoiceStudio/pull/1289
CU128 = ["sm_61", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
# 2.6.0, github.com/pytorch/pytorch/issues/150733
CU126 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


@pytest.mark.parametrize(
    ("built_for", "capability", "runs"),
    [
        (CU128, (8, 9), True),  # L4, L40S, RTX 4080: no sm_89 is needed
        (CU128, (7, 5), True),  # T4
        (CU128, (10, 3), True),  # B300
        (CU126, (12, 0), False),  # RTX 5090: "sm_120 is not compatible with the current PyTorch installation"
        (CU128_ARM, (11, 0), False),  # Thor: "no kernel image is available for execution on the device"
        (CU128_ARM, (7, 5), False),  # T4G
        (CU128_ARM, (8, 6), True),
        (["sm_86"], (8, 0), False),
        (["sm_75", "sm_80", "compute_80"], (12, 0), True),  # PTX
        (["sm_90a"], (9, 0), True),
        (["sm_100a"], (10, 3), False),
        (["sm_100f"], (10, 3), True),
        (["compute_90a"], (10, 0), False),
        ([], (8, 6), False),
    ],
)
def test_whether_a_build_has_kernels_for_a_card(
    built_for: list[str], capability: tuple[int, int], runs: bool
) -> None:
    assert cuda.has_kernels(built_for, capability) is runs


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A V100 and a T4, which this machine's CPU stands in for; PyTorch is built for CUDA 13."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for name, answer in {
        "init": lambda: None,
        "device_count": lambda: 2,
        "get_device_name": lambda number: ["Tesla V100-SXM2-16GB", "Tesla T4"][number],
        "get_device_capability": lambda number: [(7, 0), (7, 5)][number],
        "get_arch_list": lambda: ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"],
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))


def test_every_card_is_tried_and_one_without_kernels_is_named(
    two_cards: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trial.main() == 1
    line = capsys.readouterr().out.strip()
    assert "has no kernels for Tesla V100-SXM2-16GB (compute capability 7.0; it has sm_75, sm_80" in line
    assert "choose another GPU type" in line
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CU126)
    assert trial.main() == 0
    assert "computes on 2 x Tesla V100-SXM2-16GB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might", 1),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", 1),
        ("CUDA out of memory. Tried to allocate 256.00 KiB. GPU 0 has a total capacity of 14.58 GiB", 0),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", 0),
    ],
)
def test_a_card_that_cannot_multiply_fails_and_one_in_use_does_not(
    two_cards: None,
    said: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ones(*shape: int, device: str) -> torch.Tensor:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CU126)
    monkeypatch.setattr(torch, "ones", ones)
    assert trial.main() == status
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    if status:
        assert f"(cuda:0) cannot multiply two matrices: {said.splitlines()[0]} (and 1 more)" in out
