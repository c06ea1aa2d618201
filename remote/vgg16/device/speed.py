"""Whether torch.compile pays. It fuses operations that wait for memory (bias, ReLU, casts), in a minute.

Published for VGG16 in half precision on an RTX 4090: 2905 images/s forward, 3852 compiled (timm). A quarter
of the time saved makes up for the minute from some four minutes of convolutions on: on the GPUs that people
rent, from a hundred thousand pictures. The classifier alone, on cached features, is two large products:
there is nothing to fuse.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vgg16.memory import shortage
from vgg16.train import Portions, Trainer

_PAYS_FROM = 100_000


def compile_if_it_pays(trainer: Trainer, pictures: int) -> None:
    """pictures: the number that go through the convolutions and back, in all passes."""
    if not compiling_pays(trainer.precision.device, pictures):
        return
    say = trainer.report.say
    if missing := lacking():
        say(f"the network is not compiled, and trains more slowly: {missing}")
        return
    if not isinstance(trainer.forward, Compiled):
        say("compiling the network: the first batch takes a minute (--no-compile: none)")
        trainer.forward = Compiled(trainer.forward, trainer.portions)


def compiling_pays(device: torch.device, pictures: int) -> bool:
    return device.type == "cuda" and pictures >= _PAYS_FROM


def lacking() -> str:
    """What compiling for a GPU needs and this machine lacks, with the command that installs it, or ""."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "no C compiler: sudo apt-get install gcc libc6-dev"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        major, minor = sys.version_info[:2]
        return f"no headers of Python: sudo apt-get install python{major}.{minor}-dev"
    return ""


class Compiled(nn.Module):
    """net through torch.compile, which works at the first call; net itself from an error on.

    Whole batches alone, or their equal parts, are compiled: it is made for one shape, and the last batch of
    a pass is smaller.
    """

    def __init__(self, net: Callable[..., Tensor], portions: Portions) -> None:
        super().__init__()
        self.net, self._portions = net, portions
        self._whole = (1, 0)  # number of parts, pictures of a whole part
        self._compiled: Callable[..., Tensor] | None = torch.compile(net)

    def forward(self, inputs: Tensor, **start: int) -> Tensor:
        parts, most = self._whole if self._whole[0] == self._portions.count else (self._portions.count, 0)
        self._whole = parts, max(most, len(inputs))
        if self._compiled is not None and len(inputs) == self._whole[1]:
            try:
                return self._compiled(inputs, **start)
            except Exception as error:  # of any type, from Dynamo, Inductor, Triton or the C compiler
                if shortage(error):
                    raise
                self._compiled = None
                # Dynamo's first line is "backend='inductor' raised:".
                lines = [line for line in str(error).splitlines() if line.strip() and line[-1] != ":"]
                reason = lines[0] if lines else type(error).__name__
                self._portions.say(f"not compiled ({reason}): training goes on without, more slowly")
        return self.net(inputs, **start)
