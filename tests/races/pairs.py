"""Two commands on one box at once: what must hold meanwhile, and after those that lost ran again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gpu_box.errors import GpuBoxError
from gpu_box.model.observed import Observed

from ..aws.conftest import Laptop
from ..faults.apart import CONTEXT, impatient
from ..faults.commands import BIGGER, is_stopped, is_up, nothing, running, stopped
from ..faults.stage import Outcome, Stage, shown
from . import hand
from .gate import Gate, Turnstile


@dataclass(frozen=True)
class Pair:
    hands: tuple[str, str]
    begins: tuple[Callable[[Laptop], object], ...]  # the states in which it may begin
    right: Callable[[Observed], bool]  # the one right result in any order


def _is_resized(seen: Observed) -> bool:
    """The later of `stop` and `resize` decides whether it runs; the new type is kept in both cases."""
    instance = seen.instance
    return instance is not None and instance.type == BIGGER and (is_stopped(seen) or is_up(seen))


PAIRS = {
    "up and up": Pair(("up", "up"), (nothing, stopped), is_up),
    "up and down": Pair(
        ("up", "down"), (nothing, running, stopped), lambda seen: seen.nothing_left or is_up(seen)
    ),
    "stop and resize": Pair(("stop", "resize"), (running,), _is_resized),
}


@dataclass(frozen=True)
class Interleaved:
    outcome: Outcome
    how: str
    refused: bool  # whether one of them was


def run(stage: Stage, name: str, seed: int) -> Interleaved:
    """One interleaving of a pair's commands."""
    pair = PAIRS[name]
    config, tell = stage.empty(machines=True), stage.watch.defects.append
    with impatient():
        random.Random(seed).choice(pair.begins)(stage.undisturbed(config))
    stage.watch_from_now()
    turnstiles = [Turnstile.make(CONTEXT) for _ in pair.hands]
    started = [hand.start(config, what, t) for what, t in zip(pair.hands, turnstiles, strict=True)]
    gate = Gate([(process, t) for (process, _), t in zip(started, turnstiles, strict=True)], seed)
    gate.run()
    reported = [end.recv() if end.poll() else "broken: it said nothing" for _, end in started]
    with impatient():
        for what, end in zip(pair.hands, reported, strict=True):
            if end == "done":
                continue
            if not end.startswith("refused") or "\n" in end:
                tell(f"no clear line of {what}: {end}")
            try:
                hand.DOES[what](stage.undisturbed(config))
            except GpuBoxError as error:
                tell(f"{what} is refused again: {error}, after {end}")
        seen = stage.undisturbed(config).observe()
        if not pair.right(seen):
            tell(f"not right: {reported} {shown(seen)}")
        stage.nothing_after(lambda: stage.undisturbed(config).down())
    how = f"{' '.join(gate.order)}: {', '.join(reported)}"
    outcome = Outcome(tuple(stage.watch.defects), stage.watch.seconds)
    return Interleaved(outcome, how, refused=any(end.startswith("refused") for end in reported))
