"""`make bench`: measures every wait and its alternative, for docs/performance.md.

    python -m benchmarks [--only PART ...] [--quick] [--write FILE]

--only: only these parts; FILE keeps the others' rows. --quick: few runs, to check that a part works; writes
nothing. A part that fails prints its error, and the others continue.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from datetime import date
from importlib import import_module
from pathlib import Path

from . import measure
from .page import on_screen, written
from .row import Row, Skipped

# Each part is a module of that name whose `rows()` returns or yields its rows.
PARTS = {
    "command": "command_start",
    "calls": "aws_calls",
    "far": "far_cloud",
    "lists": "aws_lists",
    "many": "many_boxes",
    "set-up": "set_up",
    "packages": "project_packages",
    "sync": "sync_files",
    "large": "large",
    "jupyter": "jupyter_page",
    "watcher": "watch_cost",
    "tests": "make_test",
}
WHEN_NAMED = ("tests",)  # only


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[n for n in PARTS if n not in WHEN_NAMED])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    measure.quick = asked.quick
    rows: list[Row] = []
    failed: list[str] = []
    for name in asked.only:
        print(f"{name}: measuring", file=sys.stderr, flush=True)
        new: list[Row] = []
        try:
            for row in import_module(f"benchmarks.{PARTS[name]}").rows():
                print("  ".join(filter(None, row.cells())), file=sys.stderr, flush=True)
                new.append(row)
        except Skipped as reason:
            print(f"{name}: not measured: {reason}", file=sys.stderr, flush=True)
            continue
        except Exception as error:
            traceback.print_exception(error)
            failed.append(name)
            continue
        rows += new
        if asked.write and not asked.quick:  # now: the next part may take an hour
            page = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
            asked.write.write_text(written(page, new, date.today()), encoding="utf-8")
    print(on_screen(rows))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
