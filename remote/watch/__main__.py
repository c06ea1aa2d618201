"""python3 -m watch COMMAND

run                      watch, and stop this machine when it is idle (systemd runs this)
once                     read every signal once and print the sample
status [--json]          the verdict, each signal, the armed layers, the last stop
panel [SECONDS]          status, memory and GPUs as a JSON line at each interval, for `status --watch`
why [--json]             recent changes of the verdict, with the signals behind them
activity                 a summary of the last days as JSON, for the report's chart
keep 3h | keep --off     hold the idle stop off; the time and money limits stay
replay FILE... [--policy k=v ...] [--all]   judge recorded samples again
scratch                  bytes in ~/scratch that a stop erases
healthy                  exit 0 if a watcher runs and samples
policy k=v ...           change thresholds and limits of the running watcher
notify EVENT TEXT        send a notice to the webhook in ~/.gpu-box/notify.json
install [k=v ...]        install and start the watcher and the guard (with sudo if needed)
uninstall                remove both

`install` and `policy` also take their settings as one JSON object.
"""

import contextlib
import os
import sys
from typing import Any, Callable, Dict, List

from . import place as places
from . import policy as policies

HERE = os.path.dirname(os.path.abspath(__file__))
RECENT = 20  # changes that `why` shows


def main(words: List[str]) -> int:
    """Run one command and return its exit status; 2 if the command line is wrong."""
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        print(__doc__ if not words or words[0] in ("-h", "--help", "help") else "no command %s" % words[0])
        return 0 if words and words[0] in ("-h", "--help", "help") else 2
    try:
        return command(words[1:])
    except ValueError as error:
        print("watch %s: %s" % (words[0], error), file=sys.stderr)
        return 2
    except OSError as error:
        print("watch %s: %s" % (words[0], error), file=sys.stderr)
        return 1


def _run(words: List[str]) -> int:
    from .run import Watcher

    place = places.find()
    watcher = Watcher(place)
    with contextlib.suppress(OSError):  # /run may be full
        places.write(place.pid, "%d %s\n" % (os.getpid(), places.code()))
    watcher.run()
    return 0


def _once(words: List[str]) -> int:
    import time

    from .read.machine import Machine
    from .read.people import users
    from .sample import dump

    machine = Machine(policies.load(places.find().policy)[0], lambda: places.keeps(places.find(), users()))
    machine.sample()
    time.sleep(1.0)  # a rate needs two readings
    print(dump(machine.sample()))
    return 0


def _status(words: List[str]) -> int:
    import json

    from .limits import use_zone
    from .status import lines, status

    place = places.find()
    use_zone(policies.load(place.policy)[0])
    values = status(place)
    print(json.dumps(values) if "--json" in words else "\n".join(lines(values)))
    return 0


def _panel(words: List[str]) -> int:
    from .panel import show

    every = policies.seconds(words[0]) if words else 3.0
    try:
        show(max(0.2, every))
    except BrokenPipeError:  # the reader has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _why(words: List[str]) -> int:
    import json

    from .limits import use_zone
    from .log import Log
    from .replay import changes, line, record
    from .stop import stopped

    place = places.find()
    last, policy = stopped(place), policies.load(place.policy)[0]
    use_zone(policy)
    moments = list(changes(Log(place.state).read(), policy))[-RECENT:]
    if "--json" in words:
        print(json.dumps({"changes": [record(moment) for moment in moments], "stopped": last}))
        return 0
    for moment in moments:
        print(line(moment))
    if last:
        print("last stop, by the %s: %s" % (last["layer"], last["reason"]))
        for name, text in last.get("signals", {}).items():
            print("  %-8s %s" % (name, text))
    return 0


def _activity(words: List[str]) -> int:
    import json

    from .activity import activity
    from .log import Log

    place = places.find()
    summary = activity(Log(place.state).read(thinned=True), policies.load(place.policy)[0])
    print(json.dumps(summary, separators=(",", ":")))
    return 0


def _keep(words: List[str]) -> int:
    import time

    from .read import keeping
    from .read.machine import boot_id

    place = places.find()
    path = place.keep if os.access(place.state, os.W_OK) else places.of_user().keep
    if words == ["--off"]:
        for one in {path, places.of_user().keep}:
            if os.path.exists(one):
                os.unlink(one)
        print("keep is off: the box stops when idle")
        return 0
    if len(words) != 1:
        raise ValueError("needs a duration, as in `keep 3h`, or `keep --off`")
    wall, seconds = time.time(), policies.seconds(words[0])
    if seconds > keeping.LONGEST:
        raise ValueError("30d at most")
    keeping.write(path, seconds, boot=boot_id(), mono=time.monotonic(), wall=wall)
    print("idle stop is off until %s" % time.strftime("%H:%M", time.localtime(wall + seconds)))
    return 0


def _replay(words: List[str]) -> int:
    from .limits import use_zone
    from .log import samples
    from .replay import changes, line

    files, values, every = [], {}, False
    rest = iter(words)
    for word in rest:
        if word == "--policy":
            key, equals, value = next(rest, "").partition("=")
            if not equals:
                raise ValueError("--policy needs k=v, as in --policy idle_after=10m")
            values[key] = value
        elif word == "--all":
            every = True
        else:
            files.append(word)
    policy, wrong = policies.parse(values)
    if wrong or not files:
        raise ValueError("; ".join(wrong) or "needs a file of samples")
    use_zone(policy)
    for moment in changes((sample for path in files for sample in samples(path)), policy, every=every):
        print(line(moment))
    return 0


def _healthy(words: List[str]) -> int:
    from .status import healthy

    well = healthy(places.find())
    print("healthy" if well else "no watcher runs")
    return 0 if well else 1


def _scratch(words: List[str]) -> int:
    from .read.scratch import lost

    print(lost())
    return 0


def _notify(words: List[str]) -> int:
    from .notices import command

    return command(words)


def _policy(words: List[str]) -> int:
    from .install import needs_root, set_policy

    if needs_root():
        return _by_sudo("policy", words)
    set_policy(_settings(words))
    return 0


def _install(words: List[str]) -> int:
    from .install import install, needs_root

    if needs_root():
        return _by_sudo("install", words)
    print("\n".join(install(_settings(words))))
    return 0


def _uninstall(words: List[str]) -> int:
    from .install import needs_root, uninstall

    if needs_root():
        return _by_sudo("uninstall", words)
    print("\n".join(uninstall()))
    return 0


def _settings(words: List[str]) -> Dict[str, Any]:
    """Merge words of the form "idle_after=30m" or JSON objects; the last one wins."""
    import json

    values: Dict[str, Any] = {}
    for word in words:
        values.update(json.loads(word) if word.startswith("{") else [word.partition("=")[::2]])
    return values


def _by_sudo(command: str, words: List[str]) -> int:
    """Run the command again as root. With -n sudo fails instead of asking for a password."""
    os.chdir(os.path.dirname(HERE))
    os.execvp("sudo", ["sudo", "-n", "/usr/bin/python3", "-s", "-m", "watch", command, *words])


COMMANDS: Dict[str, Callable[[List[str]], int]] = {
    "run": _run,
    "once": _once,
    "status": _status,
    "panel": _panel,
    "why": _why,
    "activity": _activity,
    "keep": _keep,
    "replay": _replay,
    "scratch": _scratch,
    "healthy": _healthy,
    "notify": _notify,
    "policy": _policy,
    "install": _install,
    "uninstall": _uninstall,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
