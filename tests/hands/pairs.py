"""Two commands on one box at once: what must hold meanwhile, and after those that lost ran again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gpu_box.config import Config
from gpu_box.errors import GpuBoxError
from gpu_box.model import InstanceState, Observed

from ..aws.conftest import Laptop
from ..walk.apart import CONTEXT
from ..walk.scenario import BIGGER, Account, is_up, nothing, running, stopped
from . import hand
from .gate import Gate, Turnstile


@dataclass(frozen=True)
class Pair:
    hands: tuple[str, str]
    begins: tuple[Callable[[Laptop], object], ...]  # the states in which it may begin
    right: Callable[[Observed], bool]  # the one right end, whoever came last


def _is_resized(seen: Observed) -> bool:
    """Whoever of `stop` and `resize` was last decides whether it runs; nobody loses the new type."""
    instance = seen.instance
    if instance is None or instance.type != BIGGER:
        return False
    return instance.state is InstanceState.STOPPED or is_up(seen)


PAIRS = {
    "up and up": Pair(("up", "up"), (nothing, stopped), is_up),
    "up and down": Pair(
        ("up", "down"), (nothing, running, stopped), lambda seen: seen.nothing_left or is_up(seen)
    ),
    "stop and resize": Pair(("stop", "resize"), (running,), _is_resized),
}


def run(config: Config, pair: Pair, seed: int) -> tuple[list[str], str]:
    """The defects of one interleaving (none is what is wanted), and how it went."""
    laptop = Laptop(config)
    account = Account(laptop)
    random.Random(seed).choice(pair.begins)(laptop)
    turnstiles = [Turnstile.make(CONTEXT) for _ in pair.hands]
    started = [hand.start(config, what, t) for what, t in zip(pair.hands, turnstiles, strict=True)]

    def between() -> None:
        live = [i.id for i in laptop.observe().live]
        if len(live) > 1:
            account.defects.append(f"double: {live} at a time")

    gate = Gate([(process, t) for (process, _), t in zip(started, turnstiles, strict=True)], seed, between)
    gate.run()
    told = [end.recv() if end.poll() else "broken: it said nothing" for _, end in started]
    account.look("after both")
    for what, end in zip(pair.hands, told, strict=True):
        if end == "done":
            continue
        if not end.startswith("refused") or "\n" in end:
            account.defects.append(f"no clear line of {what}: {end}")
        try:
            hand.DOES[what](Laptop(config))
        except GpuBoxError as error:
            account.defects.append(f"{what} is refused again: {error}, after {end}")
    seen = account.look("after those that lost ran again")
    if not pair.right(seen):
        account.defects.append(f"not right: {told} {seen}")
    account.deadline_works(seen)
    laptop.down()
    account.none_left()
    return account.defects, f"{' '.join(gate.order)}: {', '.join(told)}"
