"""A machine's disk: the root image below and, kept, the machine's own changes on top."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Overlay:
    def __init__(self, image: Path, folder: Path) -> None:
        """folder: the machine's; the file system is mounted at `folder/root`."""
        self.root = folder / "root"
        self._image = image
        self.changes = folder / "changes"
        self._work = folder / "work"

    def mount(self) -> None:
        self.unmount()
        for path in (self.root, self.changes, self._work):
            path.mkdir(parents=True, exist_ok=True)
        self.changes.chmod(0o755)  # it is the machine's "/"
        options = f"lowerdir={self._image},upperdir={self.changes},workdir={self._work}"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)],
            check=True,
            capture_output=True,
        )

    def unmount(self) -> None:
        """Unmount everything at or below it, an earlier daemon's mounts too."""
        while self._is_mounted():
            # Lazily: a process that is ending may still have its working directory there.
            subprocess.run(
                ["umount", "--lazy", "--recursive", str(self.root)], check=True, capture_output=True
            )

    def _is_mounted(self) -> bool:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        escaped = str(self.root.resolve()).replace("\\", "\\134").replace(" ", "\\040")
        return any(line.split()[4] == escaped for line in mounts)
