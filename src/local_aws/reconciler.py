"""Keeps one machine for each pending or running instance, and none for any other.

Level-triggered: each round compares all instances with all machines and corrects the differences, so that no
call can be missed. Calls, machines that end, and states that are due wake it.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.ec2 import groups, lifecycle
from local_aws.ec2.extra import extra
from local_aws.ec2.facts import facts
from local_aws.machines.baked import BakedDisks
from local_aws.machines.machine import Boot, Machine, MachineKind
from local_aws.state import State
from local_aws.world import World

_log = logging.getLogger(__name__)
_LONGEST_NAP_S = 30.0
_RETRY_S = 5.0  # after a machine failed to start
_AT_ONCE = 16


@dataclass
class _Slot:
    machine: Machine
    boot: int | None = None  # the boot of the instance that it runs; None while it is down
    job: Future[None] | None = None
    failed: float | None = None  # when it last failed to start, monotonic seconds

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.done()


@dataclass(frozen=True)
class _Wanted:
    number: int
    image_id: str
    boot: Boot


class Reconciler:
    def __init__(self, world: World, state: State, kind: MachineKind, folder: Path) -> None:
        self._world = world
        self._state = state
        self._kind = kind
        self._folder = folder
        self._baked = BakedDisks(folder.with_name("images"))
        self._slots: dict[str, _Slot] = {}
        self._wake = threading.Event()
        self._over = False
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="machine")
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        world.is_held = self._is_held
        world.cut_network = self.cut
        world.machines_up = lambda: sum(slot.boot is not None for slot in self._slots.values())

    def start(self) -> None:
        """Clean up after a killed daemon, then run until `stop`."""
        self._adopt()
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """End every machine; the instances keep their states and get new machines at the next start."""
        self._over = True
        self._wake.set()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            list(pool.map(lambda slot: slot.machine.stop(), self._slots.values()))

    def cut(self, instance_id: str, cut: bool) -> None:
        """Raises KeyError for an instance without a machine."""
        self._slots[instance_id].machine.cut(cut)

    def console(self, instance_id: str) -> bytes:
        slot = self._slots.get(instance_id)
        return slot.machine.console() if slot else b""

    def _adopt(self) -> None:
        """Stop the machines that an earlier daemon left, and remove those without an instance."""
        self._folder.mkdir(parents=True, exist_ok=True)
        existing = {i.id for i in self._world.instances() if i.state != "terminated"}
        for folder in self._folder.iterdir():
            machine = self._kind(folder.name, folder)
            if folder.name in existing:
                machine.stop()
                self._slots[folder.name] = _Slot(machine)
            else:
                machine.destroy()
                shutil.rmtree(folder, ignore_errors=True)

    def _run(self) -> None:
        while not self._over:
            self._wake.clear()
            try:
                nap = self._round()
            except Exception:
                _log.exception("reconciler")
                nap = _RETRY_S
            self._wake.wait(nap)

    def _round(self) -> float:
        """Compare, and start what is to be done. Returns the seconds until the next comparison."""
        with self._world.lock:
            if self._world.settle():
                self._state.save()
            states = {i.id: i.state for i in self._world.instances()}
            wanted = {i.id: self._wanted(i) for i in self._world.instances() if _should_run(i)}
            due = self._world.next_due()
            self._copy_disks()
        for instance_id, want in wanted.items():
            slot = self._slots.setdefault(instance_id, _Slot(self._machine(instance_id)))
            self._bring_up(instance_id, slot, want)
        for instance_id, slot in list(self._slots.items()):
            if instance_id not in wanted and not slot.busy:
                self._take_down(instance_id, slot, states.get(instance_id, "terminated"))
        return self._nap(due)

    def _copy_disks(self) -> None:
        """Copy the disks of instances that become images, before anything else happens to their machines."""
        self._baked.forget_all_but(self._world.image_ids())
        for image in self._world.images_to_copy():
            slot = self._slots.get(image.made_of)
            if slot is None:
                self._copied(image, None)
            elif not slot.busy:
                self._submit(slot, self._copied, image, slot.machine.disk)

    def _copied(self, image: Any, disk: Path | None) -> None:
        if disk is not None:
            self._baked.keep(image.id, disk)
        with self._world.lock:
            image.copied = True
            self._state.save()

    def _bring_up(self, instance_id: str, slot: _Slot, want: _Wanted) -> None:
        if slot.busy:
            return
        if slot.boot == want.number:
            if not slot.machine.alive():
                self._submit(slot, self._tell_shut_down, slot, instance_id)
            return
        if slot.failed is None or time.monotonic() - slot.failed > _RETRY_S:
            self._submit(slot, self._start, instance_id, slot, want)

    def _take_down(self, instance_id: str, slot: _Slot, state: str) -> None:
        if state in ("shutting-down", "terminated"):
            self._submit(slot, self._destroy, instance_id, slot)
        elif slot.boot is not None:
            self._submit(slot, self._stop, slot)

    def _start(self, instance_id: str, slot: _Slot, want: _Wanted) -> None:
        try:
            slot.machine.stop()  # an earlier boot's, if this is a reboot
            self._baked.put(want.image_id, slot.machine.disk)
            port = slot.machine.start(want.boot)
        except Exception:
            _log.exception("%s: its machine did not start", instance_id)
            slot.failed = time.monotonic()
            return
        with self._world.lock:  # no caller sees `running` without a port
            self._world.publish_port(instance_id, port)
            slot.boot, slot.failed = want.number, None
            self._state.save()

    def _stop(self, slot: _Slot) -> None:
        slot.machine.stop()
        slot.boot = None

    def _destroy(self, instance_id: str, slot: _Slot) -> None:
        slot.machine.destroy()
        self._slots.pop(instance_id, None)

    def _tell_shut_down(self, slot: _Slot, instance_id: str) -> None:
        with self._world.lock:
            instance = self._world.instance(instance_id)
            lifecycle.shut_down_from_inside(instance.ec2_backend, instance)
            self._state.save()
        self._stop(slot)

    def _submit(self, slot: _Slot, work: Callable[..., None], *arguments: Any) -> None:
        slot.job = self._pool.submit(work, *arguments)
        slot.job.add_done_callback(self._job_done)

    def _job_done(self, job: Future[None]) -> None:
        if not job.cancelled() and (error := job.exception()) is not None:
            _log.error("machine", exc_info=error)
        self._wake.set()

    def _is_held(self, instance_id: str, state: str) -> bool:
        """Whether the instance must wait for its machine to listen, or to be gone."""
        slot = self._slots.get(instance_id)
        if state == "running":
            instance = self._world.instance(instance_id)
            if not _should_run(instance):
                return False
            return slot is None or (slot.boot != extra(instance).boots and slot.failed is None)
        # A terminated instance's disk is removed; a stopped one's stays.
        return slot is not None and (state == "terminated" or slot.busy or slot.boot is not None)

    def _machine(self, instance_id: str) -> Machine:
        folder = self._folder / instance_id
        folder.mkdir(parents=True, exist_ok=True)
        return self._kind(instance_id, folder)

    def _wanted(self, instance: Any) -> _Wanted:
        user_data = instance.user_data
        return _Wanted(
            extra(instance).boots,
            instance.image_id,
            Boot(
                instance_id=instance.id,
                address=instance.public_ip,
                port=extra(instance).port,
                public_key=extra(instance).public_key,
                user_data=_decoded(user_data),
                admits=lambda peer: self._admits(instance, peer),
                exited=self._wake.set,
                metadata=lambda: self._metadata(instance),
            ),
        )

    def _admits(self, instance: Any, peer: str) -> bool:
        with self._world.lock:
            return groups.admits(instance, peer)

    def _metadata(self, instance: Any) -> dict[str, str]:
        with self._world.lock:
            return facts(instance)

    def _nap(self, due: datetime | None) -> float:
        naps = [_LONGEST_NAP_S]
        if due is not None:
            # A due state waits for a job, whose end wakes this loop; check again soon all the same.
            naps.append(max(0.05, (due - datetime.now(UTC)).total_seconds()))
        if any(slot.failed is not None for slot in self._slots.values()):
            naps.append(_RETRY_S)
        return min(naps)


def _should_run(instance: Any) -> bool:
    """Whether the instance needs a machine: without a public address and a key pair none can be reached."""
    return bool(
        instance.state in ("pending", "running") and instance.public_ip and extra(instance).public_key
    )


def _decoded(user_data: Any) -> bytes:
    import base64

    return base64.b64decode(str(user_data)) if user_data else b""
