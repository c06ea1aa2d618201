"""A job that AWS may interrupt, and its messages."""

from __future__ import annotations

REASON = "interrupted by AWS: spot capacity was needed"
# Counts, saves the count, and ends on SIGTERM, like a training with checkpoints.
SAVES = """\
import os, signal, sys, time
from pathlib import Path

kept = Path("results/count")
kept.parent.mkdir(exist_ok=True)
count = int(kept.read_text()) if kept.exists() else 0
print("resumed" if os.environ.get("GPU_BOX_RESUMED") else "begun", "at", count, flush=True)


def end(*_):
    kept.write_text(str(count))
    print("kept", flush=True)
    sys.exit(143)


signal.signal(signal.SIGTERM, end)
while not Path("results/enough").exists():
    count += 1
    time.sleep(0.01)
"""
