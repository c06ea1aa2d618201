"""Draws a watcher's samples and verdicts: `python docs/timeline.py samples.jsonl >docs/evening.svg`.

Reads samples from /var/lib/gpu-box/watch and replays the watcher's judge.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).parents[1] / "remote"))

from watch.judge import State, step, verdict  # noqa: E402 - found beside us, not installed
from watch.log import samples  # noqa: E402
from watch.policy import Policy  # noqa: E402
from watch.sample import Event  # noqa: E402

WIDTH, LEFT, RIGHT, TOP, ROW = 960, 90, 20, 34, 24  # pixels
# Different in lightness too, for colour-blind readers and print.
USED, IDLE, STOPPED, QUIET = "#1f6feb", "#f2c14e", "#8b1a1a", "#9a9a9a33"
STYLE = "<style>text{fill:#222} @media (prefers-color-scheme:dark){text{fill:#ddd}}</style>"
SIGNALS = ("ssh", "cpu", "disk", "network", "gpu", "jupyter", "job", "keep")
FRESH_S = 20.0  # age of the last use up to which a signal counts as in use


def main() -> None:
    policy = Policy()
    state, seen = State(), []
    for sample in samples(sys.argv[1]):
        state = step(state, sample, policy)
        if isinstance(sample, Event):
            seen.append((sample.wall, None))
            break
        seen.append((sample.wall, verdict(state, policy)))
    print(draw(seen))


def draw(seen: list[tuple[float, object]]) -> str:
    """Returns the SVG. seen: (Unix time, verdict or None for the stop), in order."""
    begin, end = seen[0][0], seen[-1][0]

    def x(wall: float) -> float:
        return LEFT + (wall - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)

    rows = [name for name in SIGNALS if any(_used(v, name) for _, v in seen)]
    height = TOP + ROW * (len(rows) + 1) + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12">{STYLE}'
    ]
    first = int(begin // 600 + 1) * 600
    for tick in range(first, int(end) + 1, 600):
        parts.append(_line(x(tick), TOP - 6, x(tick), TOP + ROW * (len(rows) + 1)))
        parts.append(_text(x(tick), TOP - 12, time.strftime("%H:%M", time.localtime(tick)), "middle"))
    for index, name in enumerate([*rows, "verdict"]):
        y = TOP + index * ROW
        parts.append(_text(LEFT - 8, y + 15, name, "end"))
        parts.append(_bar(x(begin), x(end), y, QUIET))
        for (wall, shown), (following, _) in zip(seen, seen[1:], strict=False):
            if shown is None:
                continue
            if name == "verdict":
                parts.append(
                    _bar(x(wall), x(following), y, USED if shown.state in ("active", "held") else IDLE)
                )
            elif _used(shown, name):
                parts.append(_bar(x(wall), x(following), y, USED))
    y = TOP + ROW * (len(rows) + 1)
    last = next(shown for _, shown in reversed(seen) if shown is not None)
    parts.append(_bar(x(end) - 3, x(end), TOP + ROW * len(rows), STOPPED))
    stopped = f"{time.strftime('%H:%M', time.localtime(end))} stopped: {last.reason}"
    parts.append(_text(WIDTH - RIGHT, y + 14, stopped, "end"))
    legend = (("in use", USED), ("idle: it counts down", IDLE), ("stopped", STOPPED))
    for index, (label, colour) in enumerate(legend):
        at = LEFT + index * 170
        parts.append(f'<rect x="{at}" y="{y + 28}" width="14" height="12" fill="{colour}"/>')
        parts.append(_text(at + 20, y + 38, label, "start"))
    return "\n".join([*parts, "</svg>"])


def _used(shown: object, name: str) -> bool:
    signal = shown.signals.get(name) if shown is not None else None
    return signal is not None and signal.age < FRESH_S


def _bar(left: float, right: float, y: float, colour: str) -> str:
    # Slightly wider, so that adjacent bars meet without a gap.
    width = right - left + 0.4
    return f'<rect x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1}" x2="{x2:.1f}" y2="{y2}" stroke="#bbbbbb" stroke-width="1"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
