"""The box's part of `gpu-box status`, read from the watcher's files. Measures nothing.

status() returns, ready for JSON (durations in s, times in Unix time):

    verdict    {state, reason, stops_in, idle_for, cause, last_used: [what, wall], stop}; null: no watcher
    age        s since the watcher's last sample, or null
    signals    name -> {text, held, quiet: s since its last use or null, reading: as in a sample}
    seen       name -> [what, wall]: each signal's last use in the watcher's log
    keep       s left of `keep`
    layers     fuse, watcher, guard -> {armed: bool, detail: text}
    stopped    the last stop: {layer, reason, wall, idle_for, last_used, signals, ...} or null
    complaints problems with the policy or the last attempt to stop
    policy     the thresholds in force
    deadline   Unix time of this session's deadline, as set; the next sample applies it
"""

import json
import os
import time
from typing import Any, Dict, List

from . import stop
from .limits import hhmm
from .place import Place, runs, systemd
from .policy import load
from .read.command import run
from .signals import spell

LAYERS = {
    "fuse": "gpu-box-fuse.timer",
    "watcher": "gpu-box-watch.service",
    "guard": "gpu-box-guard.timer",
}
STALE = 120.0  # s without a sample (one is due every 15 s) after which the watcher counts as dead


def status(place: Place) -> Dict[str, Any]:
    """Read the status in the format above. Missing or broken files do not raise."""
    shown = _read(place.verdict)
    sample = shown.get("sample") or {}
    age = None
    if sample.get("boot") == _read_text("/proc/sys/kernel/random/boot_id"):
        age = max(0.0, time.monotonic() - sample["mono"])
    current = shown if age is not None else {}
    verdict = current.get("verdict")
    if verdict:
        verdict["stops_in"] = max(0.0, verdict["stops_in"] - (age or 0.0))
    rules = load(place.policy)[0]._asdict()
    return {
        "verdict": verdict,
        "age": age,
        "signals": current.get("signals", {}),
        "seen": current.get("seen", {}),
        "keep": current.get("keep") or 0.0,
        "layers": _layers(place, age),
        "stopped": stop.stopped(place),
        "complaints": current.get("complaints", []),
        "policy": current.get("policy", rules),
        "deadline": rules["deadline"],
    }


def lines(values: Dict[str, Any]) -> List[str]:
    """Format a status as lines of text."""
    verdict = values["verdict"]
    if verdict is None:
        shown = ["no watcher has reported since boot"]
    else:
        shown = [verdict["reason"], "stops in %s unless used" % spell(verdict["stops_in"])]
    for name, signal in values["signals"].items():
        ago = signal["quiet"]
        when = (
            "unclear" if signal["held"] else "-" if ago is None else "now" if ago < 1 else spell(ago) + " ago"
        )
        shown.append("  %-8s %-12s %s" % (name, when, signal["text"]))
    for name, layer in values["layers"].items():
        shown.append("  %-8s %s: %s" % (name, "armed" if layer["armed"] else "NOT ARMED", layer["detail"]))
    last = values["stopped"]
    if last:
        shown.append("last stop: %s by the %s: %s" % (hhmm(last["wall"]), last["layer"], last["reason"]))
    return shown + ["warning: %s" % complaint for complaint in values["complaints"]]


def healthy(place: Place) -> bool:
    """Whether a watcher has completed a round in this boot and sampled in the last STALE seconds."""
    age = status(place)["age"]
    return age is not None and age < STALE and os.path.exists(place.healthy)


def _layers(place: Place, age: Any) -> Dict[str, Dict[str, Any]]:
    alive = age is not None and age < STALE
    beat = "last sample %s ago" % spell(age) if age is not None else "no sample since boot"
    if not systemd():
        none = {"armed": False, "detail": "no systemd"}
        # Without systemd nothing restarts a dead watcher: check its process too.
        watcher = {"armed": alive and runs(place), "detail": beat if runs(place) else "not running"}
        return {"fuse": none, "watcher": watcher, "guard": dict(none)}
    states = _unit_states()
    cut = os.path.exists(place.healthy)
    found = {name: {"armed": state == "active", "detail": state} for name, state in states.items()}
    found["watcher"] = {
        "armed": alive and states["watcher"] in ("active", "activating"),
        "detail": "%s, %s" % (states["watcher"], beat),
    }
    if cut and found["fuse"]["armed"]:
        found["fuse"]["detail"] = "off for this boot: the watcher is healthy"
    return found


def _unit_states() -> Dict[str, str]:
    states = {name: "unknown" for name in LAYERS}
    try:
        argv = ["systemctl", "show", "--property=Id,LoadState,ActiveState", *LAYERS.values()]
        for block in run(argv, seconds=5.0).strip().split("\n\n"):
            fields = dict(line.partition("=")[::2] for line in block.splitlines())
            for name, unit in LAYERS.items():
                if fields.get("Id") == unit:
                    loaded = fields.get("LoadState") == "loaded"
                    states[name] = fields.get("ActiveState", "") if loaded else fields.get("LoadState", "")
    except OSError:
        pass
    return states


def _read(path: str) -> Dict[str, Any]:
    try:
        values = json.loads(_read_text(path))
        return values if isinstance(values, dict) else {}
    except ValueError:
        return {}


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
