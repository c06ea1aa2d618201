"""`open`: start an editor of this laptop on the box's ~/work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from gpu_box.aws.client import Cloud
from gpu_box.box.find import find_host, host_or_state
from gpu_box.box.work import push_variables
from gpu_box.errors import GpuBoxError, InputError
from gpu_box.machine import editors
from gpu_box.machine.ssh.connection import connect
from gpu_box.machine.ssh.tunnel import Tunnel
from gpu_box.model.progress import Reporter
from gpu_box.model.results import EditorOpened


@contextmanager
def open_editor(cloud: Cloud, name: str | None, report: Reporter) -> Iterator[tuple[EditorOpened, Tunnel]]:
    """Start the editor, or the first that is installed, and carry the config's `ports` during the block.

    Raises InputError if the named editor is not installed, before AWS is asked.
    """
    editor = editors.find(name)
    if not cloud.config.ssh.config:
        raise InputError(
            "editors read ~/.ssh/config, where this box is not", where="ssh.config", remedy="Set it to true."
        )
    host = find_host(cloud)
    with connect(host) as connection:
        push_variables(connection, cloud.config)
        found = editors.workplace(connection, editor)
        try:
            windows = editor is not None and editors.under_wsl()
            editors.prepare(host, forward_agent=cloud.config.ssh.forward_agent, windows=windows)
            if editor:
                editors.start(editors.command(editor, host.name, found.folder))
        except GpuBoxError as error:
            by_hand = f"Open the folder {found.folder} on the SSH host {host.name} in an editor yourself."
            error.remedy = error.remedy or by_hand
            raise
        opened = EditorOpened(
            host=host.name,
            folder=found.folder,
            python=found.python,
            preset=found.preset,
            editor=editor.name if editor else None,
        )
        with Tunnel(
            host, cloud.config.ports, report=report, find=partial(host_or_state, cloud), connection=connection
        ) as link:
            yield replace(opened, ports=link.forwarded), link
