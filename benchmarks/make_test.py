"""The whole `make test`; measured only if requested by name, because it takes minutes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .measure import clocked, seconds
from .row import Row, Skipped, Wait

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 600


def rows() -> Iterator[Row]:
    said: list[str] = []

    def test() -> None:
        done = subprocess.run(["make", "test"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        said.extend(done.stdout.splitlines()[-40:])
        if done.returncode:
            raise Skipped("it failed: " + (said[-1] if said else "no output"))

    took = clocked(test)
    counted = next((found[0] for line in reversed(said) if (found := re.search(r"\d+ passed.*", line))), "")
    yield Row(
        wait=Wait.TESTS, what="all of it", ours=seconds(took), aim=f"{LIMIT_S // 60} min on 2 cores",
        met=took <= LIMIT_S, runs=counted or f"1 run, {os.cpu_count()} cores",
    )  # fmt: skip
