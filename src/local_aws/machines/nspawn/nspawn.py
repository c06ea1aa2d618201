"""The `nspawn` machine: a real Debian with systemd as PID 1 and the instance's user data. Root on Linux.

Its disk is an overlay that outlives stop and start. Its network is a namespace with a loopback: SSH comes
in through a relay, apt and pip go out through a proxy, the instance metadata answer at their own address.
`shutdown` in it ends it, which EC2 notices; `reboot` reboots it. All its resources carry the instance's id,
so that the next daemon can clean up after one that was killed.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from local_aws.machines import metadata
from local_aws.machines.loop import on_loop
from local_aws.machines.machine import Boot
from local_aws.machines.metadata import MetadataService
from local_aws.machines.nspawn.cgroup import Cgroup
from local_aws.machines.nspawn.lent import lend
from local_aws.machines.nspawn.namespace import Namespace
from local_aws.machines.nspawn.overlay import Overlay
from local_aws.machines.nspawn.proxy import Proxy
from local_aws.machines.nspawn.relay import Relay
from local_aws.machines.nspawn.seed import write_seed

_SSH = 22
_REBOOT_EXIT_CODE = 133  # systemd-nspawn(1), "Exit status"
_SHUTDOWN_S = 20.0  # an orderly shutdown takes 2; EC2 gives minutes and then pulls the plug
_CONSOLE_BYTES = 64 * 1024  # as much as GetConsoleOutput gives
# systemd-nspawn's locks guard a folder of this machine alone, and outlive an nspawn that is killed.
_WITHOUT_LOCKS = {"SYSTEMD_NSPAWN_LOCK": "0"}
_PROPAGATE = Path("/run/systemd/nspawn/propagate")  # one folder per machine; a killed nspawn leaves it behind
_log = logging.getLogger(__name__)


class NspawnMachine:
    def __init__(self, image: Path, instance_id: str, folder: Path) -> None:
        self._id = instance_id
        self._folder = folder
        self._console = folder / "console.log"
        self._overlay = Overlay(image, folder)
        self._namespace = Namespace(f"gpu-box-{instance_id}")
        self._cgroup = Cgroup(f"gpu-box-{instance_id}")
        self._relay: Relay | None = None
        self._proxy: Proxy | None = None
        self._metadata: MetadataService | None = None
        self._container: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = False  # this program stops it: do not report its end
        self._off = False  # it ended by itself

    @property
    def disk(self) -> Path:
        return self._overlay.changes

    def start(self, boot: Boot) -> int:
        self._clean_up()
        self._overlay.mount()
        shown = lend(self._overlay.root)
        write_seed(self._overlay.root, boot)
        self._namespace.create()
        self._proxy = Proxy()
        on_loop(self._proxy.open(self._namespace.socket()))
        self._metadata = MetadataService(boot.metadata)
        asked_at = self._namespace.socket()
        asked_at.bind((metadata.ADDRESS, metadata.PORT))
        on_loop(self._metadata.open(asked_at))
        self._relay = Relay(self._namespace, _SSH, boot.admits)
        port = on_loop(self._relay.open(boot.address, boot.port))
        self._stopping = self._off = False
        self._container = self._boot(shown)
        self._keeper = threading.Thread(
            target=self._keep, args=(shown, boot.exited), name=f"nspawn-{self._id}", daemon=True
        )
        self._keeper.start()
        return port

    def stop(self) -> None:
        self._stopping = True
        container = self._container
        if container is not None and container.poll() is None:
            container.terminate()  # systemd-nspawn passes it on as an orderly shutdown
            try:
                container.wait(_SHUTDOWN_S)
            except subprocess.TimeoutExpired:
                _log.warning("%s: did not shut down in %.0f s", self._id, _SHUTDOWN_S)
        self._clean_up()

    def destroy(self) -> None:
        self._stopping = True
        self._clean_up()  # without an orderly shutdown: nothing is kept
        shutil.rmtree(self._folder, ignore_errors=True)

    def alive(self) -> bool:
        return self._container is not None and not self._off

    def console(self) -> bytes:
        if not self._console.exists():
            return b""
        return self._console.read_bytes()[-_CONSOLE_BYTES:]

    def cut(self, cut: bool) -> None:
        if self._relay is not None:
            on_loop(self._relay.cut(cut))

    def _keep(self, shown: list[Path], exited: Callable[[], None]) -> None:
        """Boot again after each reboot, and call `exited` when it is off."""
        assert self._container is not None
        while self._container.wait() == _REBOOT_EXIT_CODE and not self._stopping:
            self._container = self._boot(shown)
        if not self._stopping:
            self._off = True
            exited()

    def _boot(self, shown: list[Path]) -> subprocess.Popen[bytes]:
        joins = "".join(f"echo $$ > '{path}' && " for path in self._cgroup.create())
        nspawn = [
            "systemd-nspawn", "--quiet", "--boot", "--settings=no", "--register=no", "--keep-unit",
            f"--directory={self._overlay.root}", f"--machine={self._id}",
            f"--network-namespace-path={self._namespace.path}",
            "--console=read-only", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
            *(f"--bind-ro={path}" for path in shown),
            "systemd.show_status=1",  # a container's console shows nothing otherwise
        ]  # fmt: skip
        with self._console.open("ab") as console:
            return subprocess.Popen(
                ["/bin/sh", "-c", f'{joins}exec "$@"', "sh", *nspawn],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env={**os.environ, **_WITHOUT_LOCKS},
            )  # fmt: skip

    def _clean_up(self) -> None:
        """Remove all remains of it, from this daemon or an earlier one, by its names. The disk stays."""
        self._cgroup.kill()
        if self._keeper is not None:
            self._keeper.join()
        if self._relay is not None:
            on_loop(self._relay.close())
        if self._proxy is not None:
            on_loop(self._proxy.close())
        if self._metadata is not None:
            on_loop(self._metadata.close())
        self._relay = self._proxy = self._metadata = self._container = self._keeper = None
        self._namespace.remove()
        self._overlay.unmount()
        shutil.rmtree(_PROPAGATE / self._id, ignore_errors=True)
