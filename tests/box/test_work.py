"""The command lines that start training, in the machine's shell."""

from __future__ import annotations

import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpu_box.aws.client import Cloud
from gpu_box.box import cluster, work
from gpu_box.config.model import Config
from gpu_box.errors import InputError


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with a python that prints its arguments and environment, and, once written, an nvidia-smi."""
    write(tmp_path / "python", 'echo "$@" "link=${GLOO_SOCKET_IFNAME-none}"')
    for name in ("sh", "grep", "sed", "ip"):
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    return tmp_path


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(machine: Path, line: str) -> str:
    done = subprocess.run(
        ["sh", "-c", line], env={"PATH": str(machine), "HOME": "/home/ada"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def give_gpus(machine: Path, count: int) -> None:
    write(
        machine / "nvidia-smi", "\n".join(f"echo 'GPU {n}: Tesla T4 (UUID: GPU-{n})'" for n in range(count))
    )


@pytest.mark.parametrize("gpus", [None, 0, 1])
def test_one_gpu_or_none_is_one_plain_process(machine: Path, gpus: int | None) -> None:
    if gpus is not None:
        give_gpus(machine, gpus)
    line = work.ONE_A_GPU + "python $ranks " + work.training("tiny", {"epochs": 2, "lr": None})
    assert run(machine, line).startswith(
        "-m vgg16 train --data /home/ada/work/data/tiny --results /home/ada/work/results --epochs=2"
    )


def test_several_gpus_are_a_process_each(machine: Path) -> None:
    give_gpus(machine, 4)
    output = run(machine, work.ONE_A_GPU + "python $ranks -m vgg16 train")
    # Otherwise they would look each other up by the machine's name, which may not resolve.
    alone = "--standalone --local-addr=127.0.0.1"
    assert output.startswith(f"-m vgg16.launch {alone} --nproc-per-node=4 --max-restarts=3 -m vgg16 train")


@pytest.mark.parametrize(("cards", "processes"), [("2", 0), ("1,3", 2)])
def test_a_training_of_the_queue_takes_only_the_gpus_that_it_was_given(
    machine: Path, cards: str, processes: int
) -> None:
    give_gpus(machine, 4)
    line = f"CUDA_VISIBLE_DEVICES={cards}; " + work.ONE_A_GPU + "python $ranks -m vgg16 train"
    said = run(machine, line)
    assert said.startswith("-m vgg16 train") if not processes else f"--nproc-per-node={processes} " in said


@pytest.mark.parametrize(("gpus", "processes"), [(None, 1), (8, 8)])
def test_a_member_joins_the_first_one_by_the_interface_that_leads_to_it(
    machine: Path, gpus: int | None, processes: int
) -> None:
    if gpus:
        give_gpus(machine, gpus)
    output = run(machine, cluster.torchrun(1, 2, "127.0.0.1", "ab12") + "-m vgg16 train")
    for word in ("--nnodes=2", "--node-rank=1", "--master-addr=127.0.0.1", f"--nproc-per-node={processes}"):
        assert word in output.split()
    assert shutil.which("ip") is None or "link=lo" in output


def test_without_a_way_to_tell_the_interface_none_is_named(machine: Path) -> None:
    (machine / "ip").unlink(missing_ok=True)
    assert "link=none" in run(machine, cluster.torchrun(0, 2, "127.0.0.1", "ab12") + "-m vgg16 train")


def test_without_its_pictures_no_training_begins(machine: Path) -> None:
    write(machine / "python", "[ $3 != data ] || exit 7; echo trained")
    line = work.prepared("faces") + work.ONE_A_GPU + "python $ranks -m vgg16 train"
    done = subprocess.run(["sh", "-c", line], env={"PATH": str(machine)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "")


def test_training_gets_the_hourly_price_of_all_its_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = {"a": Decimal("0.531"), "b": Decimal("0.2"), "c": None}
    monkeypatch.setattr(work.spent, "hourly", lambda cloud, instance: prices[cloud])

    def words(*boxes: str) -> str:
        found = [SimpleNamespace(instance=name) for name in boxes]
        return work.training("tiny", work.with_price(boxes, found, {"epochs": 2}))

    assert words("a", "b").endswith("--epochs=2 --dollars-per-hour=0.731")
    assert words("a", "c").endswith("--epochs=2")  # without a sum if one is unknown


@pytest.mark.parametrize("path", ["..", "../.ssh", "results/../../.aws"])
def test_pull_takes_nothing_above_the_project(path: str) -> None:
    """Before any call: this test has no cloud. `pull ..` would also write outside the project."""
    with pytest.raises(InputError, match="must be below ~/work"):
        work.pull(Cloud(Config()), path, None, None)  # type: ignore[arg-type]
