"""gpu-box from Python: the functions and result types of the commands, for one box.

    from gpu_box import Box

    box = Box.load()                  # the config.yaml of this folder or of a parent, as on the command line
    box.up()
    job = box.run("python train.py")
    if job.exit_status == 0:
        box.pull()
    box.stop()

Every method may be interrupted and called again, as the command may. Failures are GpuBoxError, whose
`exit_code` is 1 if AWS or the machine refused, and 2 (InputError) if the input is wrong or of another type
than the annotations say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import NoneType

from gpu_box.aws.client import Cloud
from gpu_box.box import cluster, status, stop, up, work
from gpu_box.box.members import only_member
from gpu_box.config.model import Config
from gpu_box.config.read import load
from gpu_box.errors import InputError
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
        _require("Box(config)", config, Config)
        _require("Box(progress)", progress, bool)
        forget_empty_home()
        self._cloud = only_member(Cloud(config), "Box")
        self._report: Reporter = make_reporter(silent=not progress)

    @classmethod
    def load(cls, path: Path | str | None = None, *, name: str | None = None, progress: bool = False) -> Box:
        """path, name: as --config and --name. Raises InputError, with every problem of the file."""
        _require("Box.load(path)", path, str, Path, NoneType)
        _require("Box.load(name)", name, str, NoneType)
        _require("Box.load(progress)", progress, bool)
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
        at_most: Decimal | float | None = None,
    ) -> up.Up:
        """Create or start the box, set it up and sync the project; nothing if that is done already.

        wait: how long to keep trying while AWS has no capacity. loosen: give a running box the config's
        looser limits. run_for, at_most (US dollars): as --for and --at-most, limits of this run.
        """
        _require("Box.up(wait)", wait, timedelta)
        _require("Box.up(loosen)", loosen, bool)
        if wait < timedelta(0):
            raise InputError("must not be below zero", where="Box.up(wait)")
        _require("Box.up(run_for)", run_for, timedelta, NoneType)
        _require("Box.up(at_most)", at_most, Decimal, float, int, NoneType)
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
        _require("Box.run(command)", command, str, list, tuple)
        words = [command] if isinstance(command, str) else command
        for word in words:
            _require("Box.run(command)", word, str)
        _require("Box.run(name)", name, str, NoneType)
        if on_text is not None and not callable(on_text):
            raise InputError(f"must be a function, not {type(on_text).__name__}", where="Box.run(on_text)")
        said: list[str] = []

        def take(text: str) -> None:
            said.append(text)
            if on_text:
                on_text(text)

        job = work.start(self._cloud, words, name=name)
        return work.logged(job, work.follow(job, take), "".join(said))

    def pull(self, path: str = "results", to: Path | str | None = None) -> SyncResult:
        """Copy what changed below ~/work/`path`, to `to` or as `gpu-box pull` does."""
        _require("Box.pull(path)", path, str)
        _require("Box.pull(to)", to, str, Path, NoneType)
        if to == "":
            raise InputError("must not be empty", where="Box.pull(to)")
        return work.pull(self._cloud, path, None if to is None else Path(to), self._report)[0]

    def stop(self) -> StoppedBox:
        """End the billing of the instance. The disk is kept for the next `up`."""
        return stop.stop(self._cloud, self._report)

    def down(self, *, keep_images: bool = False) -> Gone:
        """Remove everything the box made in AWS, its disk too, and read back that nothing is left."""
        _require("Box.down(keep_images)", keep_images, bool)
        return stop.down(self._cloud, self._report, keep_images=keep_images)


def _require(what: str, value: object, *kinds: type) -> None:
    """Raise InputError for a value of another type: its error would come late, or from within."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise InputError(f"must be {names}, not {type(value).__name__}", where=what)
