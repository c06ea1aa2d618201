"""Decides whether, when and why to stop: `step` per sample, then `verdict`. Pure: no clock, no files.

The state is two figures: `since`, the seconds since the last use, and `idle`, those of them that count as
idle. A sample that shows use sets both to 0. A quiet sample adds to both. An unclear sample (a failed
reading, a kernel or job that uses nothing) adds only to `since`, until `since - idle` reaches stuck_after.
The box stops when `idle` reaches idle_after: at most idle_after + stuck_after after its last use, whatever
breaks. Time without samples does not count.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from . import limits
from .policy import Policy
from .sample import Event, Gpu, Rate, Sample
from .signals import Means, Signal, read_signals, spell

GAP = 4  # sampling intervals; of a longer gap between samples only this much counts
REBOOT = 600.0  # s between the last sample and the next boot, at most, for a reboot (bare metal included)


class Tick(NamedTuple):
    """The part of an earlier sample that the means need."""

    mono: float
    over: float
    rates: Tuple[Rate, Rate, Rate]  # cores, disk, network
    gpu: Tuple[Tuple[int, float], ...]  # index, percent


class State(NamedTuple):
    """The result of all samples so far. A restarted watcher rebuilds it from the log."""

    sample: Optional[Sample] = None  # the last one
    since: float = 0.0  # s since the last use, watched time only
    idle: float = 0.0  # s of it that count as idle
    used_in_boot: bool = False  # whether any use was seen since boot
    powered_off: bool = False  # whether the last entry is an orderly power-off
    born: Tuple[float, float] = (0.0, 0.0)  # (wall, up) of the first sample of this boot
    ticks: Tuple[Tick, ...] = ()
    last: Tuple[str, float] = ("", 0.0)  # the last use: (description, Unix time)
    seen: Tuple[Tuple[str, Tuple[str, float]], ...] = ()  # the same for each signal
    signals: Tuple[Tuple[str, Signal], ...] = ()  # of the last sample


class Verdict(NamedTuple):
    stop: bool
    state: str  # active, idle, held (unclear), limit (a time or money limit stops the box)
    reason: str
    stops_in: float  # s, without further use; if held, at most
    idle_for: float  # s
    cause: str  # the limit that comes first: idle, max_hours, deadline, stop_at; then: a job asked
    last_used: Tuple[str, float]  # (description, Unix time)
    signals: Dict[str, Signal]
    seen: Dict[str, Tuple[str, float]]  # each signal's own last use


def step(state: State, sample: Union[Sample, Event], policy: Policy) -> State:
    """Add one sample or event to the state."""
    if isinstance(sample, Event):
        return state._replace(powered_off=sample.event == "poweroff")
    elapsed = 0.0
    if state.sample is None or state.sample.boot != sample.boot:
        state = _booted(state, sample)
    else:
        # Samples can be out of order: an older one counts at the time of the newest.
        sample = sample._replace(mono=max(sample.mono, state.sample.mono))
        elapsed = min(sample.mono - state.sample.mono, GAP * policy.interval)
    ticks = tuple(tick for tick in state.ticks if sample.mono - tick.mono < _reach(policy))
    ticks += (_tick(sample),)
    signals = read_signals(sample, _means(ticks, policy), policy)
    held = any(signal.held for signal in signals.values())
    since = state.since + elapsed
    idle = max(state.idle + (0.0 if held else elapsed), since - policy.stuck_after)
    state = state._replace(sample=sample, ticks=ticks, signals=tuple(signals.items()), powered_off=False)
    newest = min(signals.values(), key=lambda signal: signal.age)
    seen = dict(state.seen)
    for name, signal in signals.items():
        at = sample.wall - signal.age
        if signal.age < float("inf") and at > seen.get(name, ("", 0.0))[1] + 1:
            seen[name] = (signal.what, at)
    state = state._replace(since=since, idle=idle, seen=tuple(seen.items()))
    if newest.age < since or newest.age == 0:
        used = (newest.what, sample.wall - newest.age)
        state = state._replace(since=newest.age, idle=min(idle, newest.age), last=used, used_in_boot=True)
    return state


def verdict(state: State, policy: Policy) -> Verdict:
    """Decide whether to stop now, and otherwise when."""
    sample = state.sample
    if sample is None:
        return Verdict(False, "held", "no sample yet", policy.idle_after, 0.0, "idle", state.last, {}, {})
    signals = dict(state.signals)
    if sample.then:
        return Verdict(
            True, "limit", sample.then, 0.0, state.idle, "then", state.last, signals, dict(state.seen)
        )
    held = [signal.text for signal in signals.values() if signal.held]
    left = policy.idle_after - state.idle
    if held:
        left += max(0.0, policy.stuck_after - (state.since - state.idle))
    if isinstance(sample.keep, float) and sample.keep > 0:
        left = policy.idle_after + sample.keep
    early = policy.settle - sample.up > left  # leave the user time to connect after a start
    left = max(left, policy.settle - sample.up)
    cause, limit = limits.nearest(sample, state.born, policy)
    if limit < left:
        stops_in, why = limit, limits.text(cause, policy)
    else:
        stops_in, cause = left, "idle"
        last = state.last[0] and "; last activity: %s %s" % (state.last[0], limits.hhmm(state.last[1]))
        why = "idle %s%s" % (spell(state.idle), last)
        if early and left > 0:
            why += "; stops no sooner than %s after its start" % spell(policy.settle)
    stop = stops_in <= 0
    active = [signal.text for signal in signals.values() if signal.age <= sample.over + 1]
    if stop or (cause != "idle" and limit <= max(policy.warn, default=0.0)):
        name = "limit" if cause != "idle" else "idle"
    elif active:
        name, why = "active", "active: " + "; ".join(active)
    elif held and state.since - state.idle < policy.stuck_after:
        name, why = "held", "unclear for %s: %s" % (spell(state.since - state.idle), "; ".join(held))
    else:
        name = "idle"
    return Verdict(
        stop, name, why, max(0.0, stops_in), state.idle, cause, state.last, signals, dict(state.seen)
    )


def _booted(state: State, sample: Sample) -> State:
    """Reset the idle time after a start, but not after a reboot of a box unused since its boot.

    A box that was forced off leaves no power-off event, so a reboot is recognised by a short time off.
    """
    again = state.sample is not None and not state.used_in_boot and not state.powered_off
    if state.sample is not None and not 0 <= sample.wall - sample.up - state.sample.wall <= REBOOT:
        again = False
    since, idle = (state.since, state.idle) if again else (0.0, 0.0)
    born = (sample.wall, sample.up)
    return state._replace(ticks=(), used_in_boot=False, born=born, since=since, idle=idle)


def _reach(policy: Policy) -> float:
    return max(policy.window, policy.gpu_window)


def _tick(sample: Sample) -> Tick:
    rates = [getattr(sample, name) for name in ("cpu", "disk", "network")]
    cores, disk, network = (rate if isinstance(rate, Rate) else Rate(0.0, "") for rate in rates)
    gpus = sample.gpu if isinstance(sample.gpu, tuple) and not hasattr(sample.gpu, "unknown") else ()
    percents = tuple((gpu.gpu, _busy(gpu)) for gpu in gpus)
    return Tick(sample.mono, sample.over, (cores, disk, network), percents)


def _busy(gpu: Gpu) -> float:
    return gpu.percent if gpu.compute and gpu.percent is not None else 0.0


def _means(ticks: Tuple[Tick, ...], policy: Policy) -> Means:
    now = ticks[-1].mono
    near = [tick for tick in ticks if now - tick.mono < policy.window]
    cores, disk, network = (_mean([(tick.rates[i], tick.over) for tick in near]) for i in range(3))
    gpu: Dict[int, float] = {}
    readings = [dict(tick.gpu) for tick in ticks if tick.gpu and now - tick.mono < policy.gpu_window]
    for index in {index for reading in readings for index in reading}:
        values = [reading[index] for reading in readings if index in reading]
        gpu[index] = sum(values) / len(values)
    return Means(cores, disk, network, gpu)


def _mean(rates: List[Tuple[Rate, float]]) -> Rate:
    """The mean, weighted by duration, and the process with the largest share."""
    over = sum(seconds for _, seconds in rates) or 1.0
    most = max(rates, key=lambda pair: pair[0].value * pair[1])[0]
    return Rate(sum(rate.value * seconds for rate, seconds in rates) / over, most.who)
