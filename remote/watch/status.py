"""What `gpu-box status` shows of the box: read from the files the watcher leaves; nothing is measured anew.

status() returns, ready for JSON (times in s, moments in Unix time):

    verdict    {state, reason, stops_in, idle_for, cause, last_used: [what, wall], stop}; null: no watcher
    age        s since the watcher's last sample; null without one
    signals    name -> {text, held, quiet: s since its use or null, reading: as in a sample}
    seen       name -> [what, wall]: the last use each signal showed since the watcher's log began
    keep       s left
    layers     fuse, watcher, guard -> {armed: bool, detail: text}
    stopped    the last stop: {layer, reason, wall, idle_for, last_used, signals, ...} or null
    complaints what is wrong with the policy or the last attempt to stop
    policy     the thresholds in force
    deadline   of this session, as it was told; with the next sample it is in force
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
STALE = 120.0  # s: a watcher that samples every 15 s and has not for so long is not watching


def status(place: Place) -> Dict[str, Any]:
    """The last verdict, each signal, what is armed, why it stopped last. Never raises for a broken box."""
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
    """The same for a person."""
    verdict = values["verdict"]
    if verdict is None:
        shown = ["no watcher has reported since boot"]
    else:
        shown = [verdict["reason"], "stops in %s unless used" % spell(verdict["stops_in"])]
    for name, signal in values["signals"].items():
        ago = signal["quiet"]
        when = (
            "cannot tell"
            if signal["held"]
            else "-"
            if ago is None
            else "now"
            if ago < 1
            else spell(ago) + " ago"
        )
        shown.append("  %-8s %-12s %s" % (name, when, signal["text"]))
    for name, layer in values["layers"].items():
        shown.append("  %-8s %s: %s" % (name, "armed" if layer["armed"] else "NOT ARMED", layer["detail"]))
    last = values["stopped"]
    if last:
        shown.append("last stop: %s by the %s: %s" % (hhmm(last["wall"]), last["layer"], last["reason"]))
    return shown + ["warning: %s" % complaint for complaint in values["complaints"]]


def healthy(place: Place) -> bool:
    """Whether a watcher has completed a whole round in this boot, and lately."""
    age = status(place)["age"]
    return age is not None and age < STALE and os.path.exists(place.healthy)


def _layers(place: Place, age: Any) -> Dict[str, Dict[str, Any]]:
    alive = age is not None and age < STALE
    beat = "last sample %s ago" % spell(age) if age is not None else "no sample since boot"
    if not systemd():
        none = {"armed": False, "detail": "no systemd here"}
        # Its last sample may be young and the process gone: nothing starts it again here.
        watcher = {"armed": alive and runs(place), "detail": beat if runs(place) else "it does not run"}
        return {"fuse": none, "watcher": watcher, "guard": dict(none)}
    states = _unit_states()
    cut = os.path.exists(place.healthy)
    found = {name: {"armed": state == "active", "detail": state} for name, state in states.items()}
    found["watcher"] = {
        "armed": alive and states["watcher"] in ("active", "activating"),
        "detail": "%s, %s" % (states["watcher"], beat),
    }
    if cut and found["fuse"]["armed"]:
        found["fuse"]["detail"] = "cut for this boot: the watcher is healthy"
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
