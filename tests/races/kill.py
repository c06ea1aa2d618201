"""`make kill`: `kill -9` at random moments of nine commands, each run again; the `aws` client counts.

    python -m tests.races.kill [--kills N] [--seed N] [--write FILE]

After each second run there is at most one of everything that the box made; after `down`, nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

from gpu_box.resources import local_policies
from local_aws import daemon

from ..faults.page import written
from ..user import COMMAND, CONFIG

AWS = Path(sys.executable).with_name("aws")
# In an order in which each begins in the state that the one before has left.
COMMANDS = {
    "up": ["up"],
    "sync": ["sync"],
    "run": ["run", "--", "true"],
    "pull": ["pull"],
    "bake": ["bake"],
    "resize": ["resize", "g4dn.2xlarge"],
    "stop": ["stop"],
    "up of a stopped box": ["up"],
    "down": ["down"],
}
_LONGEST_S = 300.0
_FIRST_GUESS_S = 6.0  # how long a command takes, until one has been seen
# What is listed, and where its identity stands (JMESPath, as the client takes it).
_LISTED = {
    "instances": ("ec2 describe-instances --filters Name=instance-state-name,Values=pending,running,stopping,"
                  "stopped", "Reservations[].Instances[].InstanceId"),
    "disks": ("ec2 describe-volumes", "Volumes[].VolumeId"),
    "groups": ("ec2 describe-security-groups --filters Name=tag-key,Values=gpu-box:name",
               "SecurityGroups[].GroupId"),
    "key pairs": ("ec2 describe-key-pairs", "KeyPairs[].KeyName"),
    "images": ("ec2 describe-images --owners self", "Images[].ImageId"),
    "snapshots": ("ec2 describe-snapshots --owner-ids self", "Snapshots[].SnapshotId"),
    "deadlines": ("scheduler list-schedules", "Schedules[].Name"),
    "roles": ("iam list-roles", "Roles[?starts_with(RoleName, `gpu-box`)].RoleName"),
}  # fmt: skip


class Laptop:
    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "project", folder / "data"
        self.folder.mkdir()
        (self.folder / "config.yaml").write_text(CONFIG + "name: killed\npython: none\n")
        (self.folder / "a.py").write_text("print(1)\n")
        self.environment = {**os.environ, "GPU_BOX_HOME": str(self.home), "GPU_BOX_MACHINES": "process"}

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "--local", "--yes", *words], cwd=self.folder, env=self.environment, timeout=_LONGEST_S,
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def killed(self, words: list[str], after_s: float) -> bool:
        """Whether the command still ran when it was killed."""
        process = subprocess.Popen(
            [COMMAND, "--local", "--yes", *words], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL

    def counted(self) -> dict[str, int]:
        own = daemon.start_as_owner(self.home, local_policies())
        found = {}
        for kind, (command, query) in _LISTED.items():
            words = [AWS, *command.split(), "--query", query, "--output", "json"]
            environment = {**self.environment, **own}
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
            found[kind] = len(json.loads(done.stdout) or [])
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make kill")
    parser.add_argument("--kills", type=int, default=27)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM):  # it tells of what it did until then
        signal.signal(ending, signal.default_int_handler)
    draw, defects = Random(asked.seed), list[str]()
    took: dict[str, float] = {}
    kills: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="gb-kill-") as folder:
        laptop = Laptop(Path(folder))
        try:
            for number in range(asked.kills):
                name = list(COMMANDS)[number % len(COMMANDS)]
                words = COMMANDS[name]
                after_s = draw.random() * took.get(name, _FIRST_GUESS_S)
                kills[name] += laptop.killed(words, after_s)
                began = time.monotonic()
                again = laptop.run(words)
                took[name] = max(took.get(name, 0.0), time.monotonic() - began)
                what = f"{name}, killed after {after_s:.2f} s"
                if again.returncode:
                    defects.append(f"{what}: the second run ends with {again.returncode}: {again.stderr}")
                most = 0 if words == ["down"] else 1
                if wrong := {kind: count for kind, count in laptop.counted().items() if count > most}:
                    defects.append(f"{what}: {wrong}")
                print(f"{number + 1} of {asked.kills}: {what}", *defects[-1:], file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("cut short", file=sys.stderr)
        try:
            laptop.run(["down"])
            left = {kind: count for kind, count in laptop.counted().items() if count}
            defects += [f"left after `down`: {left}"] if left else []
        finally:
            daemon.stop(laptop.home)
    rows = [f"| {name} | {kills[name]} |" for name in COMMANDS]
    lines = [
        f"{sum(kills.values())} kills at random moments, seed {asked.seed}: {len(defects)} defects "
        f"({date.today().isoformat()})",
        "",
        "| command | killed while it ran |",
        "|---|---|",
        *rows,
        "",
        *(f"- {defect}" for defect in defects),
    ]
    print("\n".join(lines))
    if asked.write:
        asked.write.write_text(written(asked.write, "kill", lines))
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
