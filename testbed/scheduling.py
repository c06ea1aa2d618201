"""pytest-xdist's `--dist loadfile`, without its hangs after a worker has crashed.

Release 3.8 has them (issues 784, 1327 and 1378 of pytest-dev/pytest-xdist). Pull requests 1324, 1328 and 1371
mend them: delete this file once a release has all three.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling


class Scheduling(LoadFileScheduling):
    def remove_node(self, node: Any) -> str | None:
        """Give the rest of a crashed worker's files to the others. Returns the test that it crashed in."""
        files = self.assigned_work[node]
        crashed = next((test for tests in files.values() for test, done in tests.items() if not done), None)
        if crashed is not None:  # it has failed: run again, it would take the next worker down, too
            files[self._split_scope(crashed)][crashed] = True
        for name in [name for name, tests in files.items() if all(tests.values())]:
            del files[name]  # a worker that is given a file without a test waits for ever
        super().remove_node(node)
        return crashed

    def _reschedule(self, node: Any) -> None:
        with suppress(OSError):  # a worker that has crashed: `remove_node` follows
            super()._reschedule(node)
            if self._pending_of(self.assigned_work[node]) < 2:  # it runs a test when it knows the next one
                super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None
