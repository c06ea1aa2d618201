"""Turns each reading into a signal: the time since the last use that it shows, or that it is unclear."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .policy import Policy
from .sample import SIGNALS, SYNC, Gpu, Job, Jupyter, Rate, Sample, Unknown, Used

NEVER = float("inf")
ABSENT = {"gpu": "no GPU", "jupyter": "no kernel"}


class Signal(NamedTuple):
    age: float  # s since the last use; 0: now; NEVER: no use seen
    what: str  # to display: "gpu 0"
    detail: str = ""  # "at 97 %"
    held: bool = False  # a failed reading or stuck work: pauses the idle clock, for a bounded time

    @property
    def text(self) -> str:
        return ("%s %s" % (self.what, self.detail)).strip()


class Means(NamedTuple):
    """Means over the policy's windows, including this sample."""

    cores: Rate
    disk: Rate
    network: Rate
    gpu: Dict[int, float]  # percent by GPU index; 0 counts while no compute process uses it


def read_signals(sample: Sample, means: Means, policy: Policy) -> Dict[str, Signal]:
    """All signals of one sample, in the order of SIGNALS."""
    return {name: _read(name, sample, means, policy) for name in SIGNALS}


def _read(name: str, sample: Sample, means: Means, policy: Policy) -> Signal:
    reading = getattr(sample, name)
    if isinstance(reading, Unknown):
        return Signal(NEVER, name, "cannot be read: %s" % reading.unknown, True)
    if reading is None:
        return Signal(NEVER, ABSENT.get(name, "not measured yet"))
    signal = READERS[name](reading, means, policy)
    return signal._replace(age=max(0.0, signal.age))  # negative in a recording whose clock was set back


def _gpu(gpus: Tuple[Gpu, ...], means: Means, policy: Policy) -> Signal:
    silent = [gpu.gpu for gpu in gpus if gpu.percent is None and gpu.compute]
    texts = []
    for gpu in gpus:
        mean = means.gpu.get(gpu.gpu, 0.0)
        if mean >= policy.gpu_percent:
            return Signal(0.0, "gpu %d" % gpu.gpu, "at %.0f %%" % mean)
        texts.append(
            "gpu %d at %.0f %%%s" % (gpu.gpu, gpu.percent or 0.0, "" if gpu.compute else ", no work")
        )
    if silent:
        return Signal(NEVER, "gpu %d" % silent[0], "reports no utilisation", True)
    return Signal(NEVER, "; ".join(texts) or "no GPU")


def _cpu(rate: Rate, means: Means, policy: Policy) -> Signal:
    age = 0.0 if means.cores.value >= policy.cpu_cores else NEVER
    return Signal(age, _by("cpu", means.cores), "%.2f cores" % means.cores.value)


def _disk(rate: Rate, means: Means, policy: Policy) -> Signal:
    age = 0.0 if means.disk.value >= policy.disk_bps else NEVER
    return Signal(age, _by("disk", means.disk), _speed(means.disk.value))


def _network(rate: Rate, means: Means, policy: Policy) -> Signal:
    # Only a transfer has a name.
    least = policy.transfer_bps if means.network.who else policy.network_bps
    age = 0.0 if means.network.value >= least else NEVER
    return Signal(age, _by("network", means.network), _speed(means.network.value))


def _ssh(ttys: Tuple[Used, ...], means: Means, policy: Policy) -> Signal:
    last = _latest(ttys)
    if last is None:
        return Signal(NEVER, "no input" if ttys else "no login")
    verb = "typed on" if last.name.startswith(("pts", "tty")) else "saved in"
    verb = "files moved by" if last.name == SYNC else verb
    return Signal(last.quiet or 0.0, "%s %s" % (verb, last.name))


def _jupyter(jupyter: Jupyter, means: Means, policy: Policy) -> Signal:
    best = Signal(NEVER, "%d kernels, unused" % len(jupyter.kernels))
    stuck = ""
    for kernel in jupyter.kernels:
        if kernel.state == "busy" and _works(kernel, policy):
            return Signal(0.0, "kernel %s" % kernel.name, "computes (%.2f cores)" % kernel.cores)
        if kernel.state == "busy":
            stuck = "(kernel %s is busy but uses nothing)" % kernel.name
        if kernel.quiet is not None and kernel.quiet < best.age:
            best = Signal(kernel.quiet, "kernel %s" % kernel.name)
    # A busy kernel's output changes its document, and the browser saves it: that is no edit.
    busy = {kernel.name for kernel in jupyter.kernels if kernel.state == "busy"}
    document = _latest(tuple(item for item in jupyter.documents if item.name not in busy))
    if document is not None and (document.quiet or 0.0) < best.age:
        best = Signal(document.quiet or 0.0, "document %s" % document.name, "edited")
    held = stuck or "; ".join(jupyter.silent)
    return best._replace(detail=held, held=True) if held else best


def _job(jobs: Tuple[Job, ...], means: Means, policy: Policy) -> Signal:
    best = Signal(NEVER, "no job runs")
    stuck = ""
    waits = [job.name for job in jobs if job.queued]
    for job in jobs:
        if job.queued:
            continue
        if _works(job, policy) or (job.quiet is not None and job.quiet <= policy.window):
            return Signal(0.0, "job %s" % job.name, "(%.2f cores)" % job.cores)
        stuck = stuck or "job %s runs but makes no progress" % job.name
        # Samples can be further apart than the window: the log's growth in between counts too.
        if job.quiet is not None and job.quiet < best.age:
            best = Signal(job.quiet, "job %s" % job.name)
    if waits and not stuck:
        stuck = "job %s waits in the queue, and none runs" % waits[0]
    elif waits:
        stuck += ", and %d more %s" % (len(waits), "waits" if len(waits) == 1 else "wait")
    return best._replace(what=stuck, held=True) if stuck else best


def _keep(left: float, means: Means, policy: Policy) -> Signal:
    if left > 0:
        return Signal(0.0, "keep", "for another %s" % spell(left))
    return Signal(NEVER, "no keep")


READERS: Dict[str, Callable[[Any, Means, Policy], Signal]] = {
    "gpu": _gpu,
    "cpu": _cpu,
    "disk": _disk,
    "network": _network,
    "ssh": _ssh,
    "jupyter": _jupyter,
    "job": _job,
    "keep": _keep,
}


def _works(work: Any, policy: Policy) -> bool:
    """Whether the processes of a kernel or job use CPU, disk or GPU."""
    return bool(work.gpu) or work.cores >= policy.progress_cores or work.bps >= policy.progress_bps


def _latest(used: Tuple[Used, ...]) -> Optional[Used]:
    seen: List[Used] = [item for item in used if item.quiet is not None]
    return min(seen, key=lambda item: item.quiet or 0.0) if seen else None


def _by(name: str, rate: Rate) -> str:
    return "%s (%s)" % (name, rate.who) if rate.who else name


def _speed(bps: float) -> str:
    return "%.1f MB/s" % (bps / 1e6)


def spell(seconds: float) -> str:
    """Format a duration: "42 s", "18 min", "2 h 30 min"."""
    if seconds < 120:
        return "%.0f s" % seconds
    hours, minutes = divmod(int(seconds // 60), 60)
    return "%d h %d min" % (hours, minutes) if hours else "%d min" % minutes
