"""python3 -m watch COMMAND

run                      watch, and stop this machine when it is idle (what systemd runs)
once                     read every signal once and print the sample
status [--json]          the verdict, each signal, the layers armed, the last stop
panel [SECONDS]          status, memory and GPUs as a JSON line every so often, for `status --watch`
why [--json]             the verdicts of late, each change with its figures
activity                 what the box did of late, in brief: JSON for a drawing
keep 3h | keep --off     hold idle-stop off for a while; the time and money limits stay
replay FILE... [--policy k=v ...] [--all]   the verdict over time of recorded samples
healthy                  exit 0 when a watcher watches
guard [LOOKS]            one look of the guard
policy k=v ...           change the thresholds and limits of the watcher that runs
notify EVENT TEXT        send a notice to the webhook that ~/.gpu-box/notify.json names
install [k=v ...]        arm the watcher and the guard (by sudo, where it must)
                         `install` and `policy` also take their settings as one JSON object
uninstall                disarm both
"""

import contextlib
import os
import sys
from typing import Any, Callable, Dict, List

from . import place as places
from . import policy as policies

HERE = os.path.dirname(os.path.abspath(__file__))
LATE = 20  # changes of the verdict that `why` tells


def main(words: List[str]) -> int:
    """The exit status. 2: the command line is wrong."""
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
    time.sleep(1.0)  # rates need two looks
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
    except BrokenPipeError:  # nobody looks any more
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
    moments = list(changes(Log(place.state).read(), policy))[-LATE:]
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
    told = activity(Log(place.state).read(thinned=True), policies.load(place.policy)[0])
    print(json.dumps(told, separators=(",", ":")))
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
        print("no longer kept: it stops when idle")
        return 0
    if len(words) != 1:
        raise ValueError("how long? keep 3h, or keep --off")
    wall, seconds = time.time(), policies.seconds(words[0])
    if seconds > keeping.LONGEST:
        raise ValueError("how long? 30d at most")
    keeping.write(path, seconds, boot=boot_id(), mono=time.monotonic(), wall=wall)
    print("kept until %s" % time.strftime("%H:%M", time.localtime(wall + seconds)))
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
                raise ValueError("--policy needs k=v")
            values[key] = value
        elif word == "--all":
            every = True
        else:
            files.append(word)
    policy, wrong = policies.parse(values)
    if wrong or not files:
        raise ValueError("; ".join(wrong) or "which file?")
    use_zone(policy)
    for moment in changes((sample for path in files for sample in samples(path)), policy, every=every):
        print(line(moment))
    return 0


def _healthy(words: List[str]) -> int:
    from .status import healthy

    well = healthy(places.find())
    print("healthy" if well else "no watcher watches")
    return 0 if well else 1


def _guard(words: List[str]) -> int:
    os.execv("/bin/sh", ["sh", os.path.join(HERE, "guard.sh"), *words])


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
    """ "idle_after=30m" or a JSON object, each; the last one counts."""
    import json

    values: Dict[str, Any] = {}
    for word in words:
        values.update(json.loads(word) if word.startswith("{") else [word.partition("=")[::2]])
    return values


def _by_sudo(command: str, words: List[str]) -> int:
    """The same as root. Without a password to ask for: `sudo` says so itself when it may not."""
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
    "healthy": _healthy,
    "guard": _guard,
    "notify": _notify,
    "policy": _policy,
    "install": _install,
    "uninstall": _uninstall,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
