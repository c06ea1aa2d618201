"""Samples the whole machine. A signal that cannot be read becomes Unknown; nothing raises."""

import os
import time
from typing import Any, Callable, List, Optional, Set, Tuple

from ..policy import Policy
from ..sample import Gpu, Rate, Sample, Unknown
from . import keeping
from .editors import Editors
from .gpu import read_gpus
from .jobs import Jobs
from .jupyter import Kernels
from .network import Network
from .people import User, classifier, counting_uid, machine_mark, users
from .processes import Processes, Usage, time_since_boot
from .syncs import Syncs
from .terminals import Terminals
from .text import read, shown
from .transfers import carried


class Machine:
    """Keeps what successive samples need: counters, caches and open readers."""

    def __init__(self, policy: Policy, keeps: Callable[[], List[Tuple[Optional[User], str]]]) -> None:
        """keeps: returns the `places` of `keeping.left`. The attribute `policy` may be replaced."""
        self.policy, self._keeps = policy, keeps
        self._boot = boot_id()
        self._processes = Processes(classifier(own=os.getpid()))
        self._network = Network(counting_uid())
        self._terminals = Terminals(only=os.geteuid())
        self._editors = Editors()
        self._syncs = Syncs()
        self._jobs = Jobs(self._processes)
        self._jupyter = Kernels(self._processes)
        self._gpu: Any = None
        self._gpu_read = float("-inf")
        self._born = born()
        self._network_read: Optional[float] = None

    def sample(self, *, now: bool = False) -> Sample:
        """Read every signal. now: read the slow ones too, even if they were read a moment ago."""
        mono, wall, policy = time.monotonic(), time.time(), self.policy
        usage = _try(self._processes.look)
        everyone = _try(users)
        people = [] if isinstance(everyone, Unknown) else everyone
        gpu, gpu_pids = self._gpus(mono, now)
        cpu, disk, over = _rates(usage)
        job = _try(lambda: self._jobs.read(people, gpu_pids, mono=mono, wall=wall))
        return Sample(
            boot=self._boot,
            mono=mono,
            wall=wall,
            up=time_since_boot() - self._born,
            over=over,
            gpu=gpu,
            cpu=cpu,
            disk=disk,
            network=self._bytes(mono, usage),
            ssh=_try(
                lambda: (
                    self._terminals.read(mono=mono, wall=wall, among=self._own_terminals())
                    + self._editors.read(people, mono=mono, wall=wall, slow=policy.slow)
                    + self._syncs.read(people, mono=mono, wall=wall)
                )
            ),
            jupyter=_try(
                lambda: self._jupyter.read(
                    people,
                    gpu_pids,
                    mono=mono,
                    wall=wall,
                    slow=0.0 if now else policy.slow,
                    timeout=policy.probe_timeout,
                )
            ),
            job=job,
            keep=_try(lambda: keeping.left(self._keeps(), boot=self._boot, mono=mono, wall=wall)),
            then="" if isinstance(job, Unknown) else self._jobs.then,
        )

    def left_alone(self) -> List[User]:
        """Users whose queue waits although none of their jobs runs, at the last sample."""
        return self._jobs.left_alone

    def _own_terminals(self) -> Optional[Set[str]]:
        return self._processes.terminals() if machine_mark() else None

    def _gpus(self, mono: float, now: bool) -> Tuple[Any, Set[int]]:
        policy = self.policy
        if now or mono - self._gpu_read >= policy.slow:
            self._gpu_read = mono
            self._gpu = _try(lambda: read_gpus(seconds=policy.probe_timeout, busy_from=policy.gpu_percent))
        gpus: Tuple[Gpu, ...] = () if self._gpu is None or isinstance(self._gpu, Unknown) else self._gpu
        return self._gpu, {pid for gpu in gpus for pid in gpu.pids}

    def _bytes(self, mono: float, usage: Any) -> Any:
        moved = _try(self._network.look)
        last, self._network_read = self._network_read, mono
        if isinstance(moved, Unknown):
            return moved
        sockets = Rate(moved / (mono - last) if moved and last is not None and mono > last else 0.0, "")
        if not isinstance(usage, Usage):
            return sockets if moved is not None else None
        # Report whichever is larger relative to its own threshold.
        transfers, policy = carried(self._processes, usage.over), self.policy
        ahead = transfers.value * policy.network_bps >= sockets.value * policy.transfer_bps
        return transfers if transfers.value and ahead else sockets


def boot_id() -> str:
    return read("/proc/sys/kernel/random/boot_id").strip()


def born() -> float:
    """When this machine started, in s since the kernel's boot; more than 0 on a shared kernel.

    Read from the start time of process 1, or from GPU_BOX_BORN if process 1 is the host's.
    """
    given = os.environ.get("GPU_BOX_BORN")
    if given:
        return float(given)
    return int(read("/proc/1/stat").rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")


def _rates(usage: Any) -> Tuple[Any, Any, float]:
    if isinstance(usage, Usage):
        return usage.cpu, usage.disk, usage.over
    return usage, usage, 0.0


def _try(reader: Callable[[], Any]) -> Any:
    try:
        return reader()
    except Exception as error:  # one broken signal must not affect the others
        return Unknown(shown("%s: %s" % (type(error).__name__, error)))
