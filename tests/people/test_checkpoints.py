"""What a killed training leaves: a damaged checkpoint, and parts of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from vgg16 import Problem, checkpoint
from vgg16.files import new_folder, write_whole

ALONE = cast(Any, SimpleNamespace(ranks=SimpleNamespace(first=True, firsts=lambda value: value)))


def whole(path: Path) -> bytes:
    torch.save({"identity": "x", "trained": {"weight": torch.zeros(1000)}}, path)
    return path.read_bytes()


# SimpleTuner#2613, Yet-Another-EfficientDet-Pytorch#101, isc-demos#3, pytorch#53708
@pytest.mark.parametrize("damage", ["half", "empty", "zeros", "text", "no state", "another state"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    content = whole(path)
    if damage == "no state":
        torch.save([1, 2], path)
    elif damage != "another state":
        broken = {"half": content[: len(content) // 2], "empty": b"", "zeros": bytes(5000), "text": b"<html>"}
        path.write_bytes(broken[damage])
    with pytest.raises(Problem) as refused:
        checkpoint.restore(path, ALONE, "x")
    assert str(refused.value).startswith(f"{path}: this checkpoint cannot be read (")
    assert str(refused.value).endswith("Without --resume it begins anew.")


# ace PR 1167, speechturn#15, levanter PR 886
def test_parts_that_a_killed_save_left_are_removed_at_the_next(tmp_path: Path) -> None:
    path = tmp_path / "check[1].pt"
    code = "import os, sys; from vgg16.files import write_whole; from pathlib import Path"
    code += "; write_whole(Path(sys.argv[1]), lambda file: (file.write(b'half'), os.kill(os.getpid(), 9)))"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, path], env={"PYTHONPATH": ":".join(sys.path)})
        assert done.returncode == -9
    [left] = tmp_path.iterdir()
    assert left.name.endswith(".gpu-box-part"), "`sync` and `pull` leave it out"
    other = tmp_path / f".{path.name}.{os.getppid()}.gpu-box-part"
    other.write_text("of a running save")
    write_whole(path, lambda file: file.write(b"whole"))
    assert sorted(tmp_path.iterdir()) == sorted([path, other])
    with new_folder(tmp_path / "folder", "last") as folder:
        (folder / "a").touch()
    assert sorted(tmp_path.iterdir()) == sorted([path, other, tmp_path / "folder"])
