"""gpu-box from Python: the functions and result types of the commands, for one box.

    from gpu_box import Box

    box = Box.load()                  # the config.yaml of this folder or of a parent, as on the command line
    box.up()
    job = box.run("python train.py")
    if job.exit_status == 0:
        box.pull()
    box.stop()

Every method may be interrupted and called again, as the command may. Failures are GpuBoxError, whose
`exit_code` is 1 if AWS or the machine refused, and 2 (InputError) if the input is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from gpu_box.aws.client import Cloud
from gpu_box.box import cluster, status, stop, up, work
from gpu_box.box.members import only_member
from gpu_box.config.model import Config
from gpu_box.config.read import load
from gpu_box.home import forget_empty_home
from gpu_box.model.machine import SyncResult
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Gone, JobLogged, StatusView, StoppedBox
from gpu_box.view.progress import make_reporter


class Box:
    """One box, as its config names it. Nothing is read from AWS until a method needs it.

    No method asks a question: `down` removes the box with its disk.
    """

    def __init__(self, config: Config, *, progress: bool = False) -> None:
        """progress: show the commands' own progress lines on standard error."""
        forget_empty_home()
        self._cloud = only_member(Cloud(config), "Box")
        self._report: Reporter = make_reporter(silent=not progress)

    @classmethod
    def load(cls, path: Path | str | None = None, *, name: str | None = None, progress: bool = False) -> Box:
        """path, name: as --config and --name. Raises InputError, with every problem of the file."""
        forget_empty_home()
        return cls(load(None if path is None else Path(path), name=name), progress=progress)

    @property
    def config(self) -> Config:
        return self._cloud.config

    def up(
        self,
        *,
        wait: timedelta = timedelta(0),
        loosen: bool = False,
        run_for: timedelta | None = None,
        at_most: Decimal | None = None,
    ) -> up.Up:
        """Create or start the box, set it up and sync the project; nothing if that is done already.

        wait: how long to keep trying while AWS has no capacity. loosen: give a running box the config's
        looser limits. run_for, at_most: as --for and --at-most, limits of this run.
        """
        cloud = self._cloud
        if run_for is not None or at_most is not None:
            cloud = cloud.sharing(cluster.limited(cloud.config, span=run_for, usd=at_most))
        return up.up(cloud, self._report, wait=wait, loosen=loosen)

    def status(self) -> StatusView:
        """State, cost, what keeps the box awake and when it stops."""
        return status.status(self._cloud)

    def run(
        self,
        command: str | Sequence[str],
        *,
        name: str | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> JobLogged:
        """Run a job on the box to its end, and return its exit status and log.

        command: a line for the box's shell, or a program and its arguments. on_text: receives the log as it
        arrives. The job survives this process: `gpu-box logs` follows it.
        """
        said: list[str] = []

        def take(text: str) -> None:
            said.append(text)
            if on_text:
                on_text(text)

        job = work.start(self._cloud, [command] if isinstance(command, str) else command, name=name)
        return work.logged(job, work.follow(job, take), "".join(said))

    def pull(self, path: str = "results", to: Path | str | None = None) -> SyncResult:
        """Copy what changed below ~/work/`path`, to `to` or as `gpu-box pull` does."""
        return work.pull(self._cloud, path, None if to is None else Path(to), self._report)[0]

    def stop(self) -> StoppedBox:
        """End the billing of the instance. The disk is kept for the next `up`."""
        return stop.stop(self._cloud, self._report)

    def down(self, *, keep_images: bool = False) -> Gone:
        """Remove everything the box made in AWS, its disk too, and read back that nothing is left."""
        return stop.down(self._cloud, self._report, keep_images=keep_images)
