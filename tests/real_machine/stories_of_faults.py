"""The box stops even if a layer, the disk, the network or the driver fails."""

from __future__ import annotations

from datetime import timedelta

from .guaranteed import GUARD, IDLE, STUCK, Box
from .nvidia_smi import stand_in
from .story import Outcome, off, story

ARMS = 75  # s after boot at which a fuse burns: on a loaded machine, arming takes a part of them


@story()
def kill_9_of_the_watcher(box: Box) -> Outcome:
    """systemd restarts it, and it continues the idle time."""
    box.arm()
    first = box.ssh(_PID).stdout.strip()
    box.ssh("sudo systemctl kill --signal=KILL gpu-box-watch")
    box.ssh(f"until p=$({_PID}) && [ $p != 0 ] && [ $p != {first} ]; do sleep 0.2; done")
    return off(box, IDLE)


@story(stopped_by="guard")
def the_watcher_masked(box: Box) -> Outcome:
    box.arm()
    box.ssh("sudo systemctl mask --now gpu-box-watch")
    outcome = off(box, GUARD)
    assert "Powering off." in box.reported(), "an orderly shutdown to its end, and not the one that is forced"
    return outcome


@story(stopped_by="guard")
def the_watcher_frozen(box: Box) -> Outcome:
    box.arm()
    box.ssh("sudo systemctl kill --signal=STOP gpu-box-watch")
    return off(box, GUARD)


@story(stopped_by="guard")
def the_watcher_s_files_deleted(box: Box) -> Outcome:
    box.arm()
    box.ssh("sudo rm -rf /usr/local/lib/gpu-box/watch && sudo systemctl kill --signal=KILL gpu-box-watch")
    return off(box, GUARD)


@story()
def a_full_disk_under_a_watcher(box: Box) -> Outcome:
    """No sample can be written; the reason goes into the allocated file."""
    _small_disk(box)
    box.arm()
    box.ssh(_FILL)
    return off(box, IDLE)


@story(stopped_by="guard")
def a_full_disk_and_no_watcher(box: Box) -> Outcome:
    _small_disk(box)
    box.arm()
    box.ssh(_FILL)
    box.ssh("sudo systemctl mask --now gpu-box-watch")
    return off(box, GUARD)


@story()
def a_unit_and_a_process_that_will_not_end(box: Box) -> Outcome:
    """The shutdown would wait for half an hour; it is forced after a minute."""
    _stubborn(box)
    box.arm()
    return off(box, IDLE + 60)


@story(stopped_by="guard")
def a_unit_that_will_not_end_under_the_guard(box: Box) -> Outcome:
    _stubborn(box)
    box.arm()
    box.ssh("sudo systemctl mask --now gpu-box-watch")
    return off(box, GUARD + 60)


@story()
def nvidia_smi_hangs(box: Box) -> Outcome:
    """Use is unclear for `stuck_after` at most."""
    stand_in(box)
    box.ssh("echo hang >/tmp/percent")
    box.arm()
    assert not box.is_off_within(IDLE), "a failed probe is no idleness, at first"
    return off(box, STUCK)


@story(stopped_by="deadline", max_hours=timedelta(seconds=60))
def its_network_cut_and_no_layer_on_it_that_minds(box: Box) -> Outcome:
    box.arm(idle_after="1h", guard_after="1h")
    box.fleet.cloud.http("POST", "/embedded/network", {"instance": box.instance, "cut": True})
    assert box.ssh("true", check=False, seconds=60).returncode == 255, "it is unreachable"
    return off(box, 120)


@story(stopped_by="fuse", fuse="20s", reached=False)
def set_up_never_ran(box: Box) -> Outcome:
    """As if the laptop had died right after RunInstances."""
    return off(box, 20)


@story(fuse=f"{ARMS}s")
def a_healthy_watcher_cuts_the_fuse(box: Box) -> Outcome:
    box.arm(idle_after="1h")
    assert not box.is_off_within(ARMS + 5), box.why()
    box.ssh("gpu-box-watch policy idle_after=1s")
    return off(box, 2)


@story(stopped_by="fuse", fuse=f"{ARMS}s")
def a_reboot_lights_the_fuse_again(box: Box) -> Outcome:
    """Without its watcher: at the second boot nothing reports healthy, and the guard is away too."""
    box.arm(idle_after="1h")
    box.ssh("sudo systemctl disable gpu-box-watch gpu-box-guard.timer && sudo systemctl reboot", check=False)
    return off(box, ARMS + 5)


_PID = "systemctl show --property=MainPID --value gpu-box-watch"
_FILL = "sudo dd if=/dev/zero of=/var/lib/gpu-box/filler bs=4k 2>/dev/null; true"


def _stubborn(box: Box) -> None:
    """A service that takes half an hour to stop, and a process of the user that ignores SIGTERM."""
    unit = (
        "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 1800\nTimeoutStopSec=1800\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    box.ssh("sudo tee /etc/systemd/system/stubborn.service >/dev/null", input=unit)
    box.ssh("sudo systemctl daemon-reload && sudo systemctl start stubborn")
    box.ssh("setsid sh -c \"trap '' TERM HUP; sleep infinity\" >/dev/null 2>&1 </dev/null &")


def _small_disk(box: Box) -> None:
    """A small file system mounted on the state folder."""
    box.ssh("sudo mkdir -p /var/lib/gpu-box && sudo mount -t tmpfs -o size=256k tmpfs /var/lib/gpu-box")
