"""A whole service of AWS is down, or denied, while a command runs.

Each scenario is walked twice from the same state. In one, the service comes back and the command runs again.
In the other, the user stops and removes the box while the service is still down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gpu_box.aws.client import Cloud
from gpu_box.box.cost import total
from gpu_box.box.ls import list_boxes
from gpu_box.box.preview import preview
from gpu_box.box.status import status
from gpu_box.config.model import Config
from gpu_box.errors import GpuBoxError

from ..aws.conftest import Laptop
from .apart import impatient
from .commands import COMMANDS
from .faults import FAULTS, Saboteur
from .stage import Outcome, Stage, shown
from .watch import Seconds, there

ITS_REGION = "the box's region"
# The services that each takes away. us-east-1 has IAM's control plane (AWS whitepaper "Fault Isolation
# Boundaries", Global services) and the price list that American regions ask.
OUTAGES = {
    "IAM": frozenset({"iam"}),
    "Scheduler": frozenset({"scheduler"}),
    "pricing": frozenset({"pricing"}),
    "Service Quotas": frozenset({"service-quotas"}),
    "SSM": frozenset({"ssm"}),
    "us-east-1": frozenset({"iam", "pricing"}),  # for a box in another region
    ITS_REGION: frozenset({"ec2", "scheduler", "service-quotas", "ssm"}),
}
SILENT, DENIED = "silent", "denied"
KINDS = {SILENT: FAULTS["connection refused"], DENIED: FAULTS["access denied"]}
DONE, IN_PART, REFUSED, NO_CALL = "done", "in part", "refused", "no call"
_LOOKS: dict[str, Callable[[Cloud], object]] = {"status": status, "ls": list_boxes, "cost": total}
_BILLS_NOTHING = {"deadline", "role"}  # a schedule and a role of IAM


@dataclass(frozen=True)
class Served:
    outcome: Outcome
    how: str  # how the command ended: DONE, IN_PART, REFUSED, or NO_CALL of the service was made


def run(stage: Stage, name: str, outage: str, kind: str) -> Served:
    again, stopped = _Outage(stage, name, outage, kind), _Outage(stage, name, outage, kind)
    with impatient():
        how = again.run_again()
        defects, seconds = list(stage.watch.defects), Seconds()
        seconds += stage.watch.seconds
        stopped.stop_and_remove()
    seconds += stage.watch.seconds
    defects += [defect for defect in stage.watch.defects if defect not in defects]
    return Served(Outcome(tuple(defects), seconds), how)


@dataclass
class _Outage:
    """One of the two walks of a scenario."""

    stage: Stage
    name: str
    outage: str
    kind: str

    def run_again(self) -> str:
        config = self._begin()
        how = self._command(config)
        self._answers(lambda: status(self._next().cloud), "status")
        self._over()
        self.stage.mend(COMMANDS[self.name], config, twice=how in (DONE, NO_CALL))
        return how

    def stop_and_remove(self) -> None:
        config = self._begin()
        for what, look in _LOOKS.items():
            self._answers(partial(look, self._next().cloud), what)
        self._refused(lambda: preview(self._next().cloud), "plan")
        self._command(config)
        self._answers(lambda: self._next().stop(), "stop")
        if self._ec2_answers and (still := self._running()):
            self._tell(f"stop did not stop {', '.join(still)}")
        self._answers(lambda: status(self._next().cloud), "status after stop")
        self._answers(lambda: COMMANDS[self.name].removes(self._next()), "down")
        with self.stage.inside.world.lock:
            left = [f"{kind} {id_}" for kind, _, id_ in there() if kind not in _BILLS_NOTHING]
        if self._ec2_answers and left:
            self._tell(f"leak: down while it is {self.kind} leaves {', '.join(left)}")
        self._over()
        self.stage.nothing_after(lambda: COMMANDS[self.name].removes(self.stage.undisturbed(config)))

    def _begin(self) -> Config:
        """The state of the command, on a laptop that knows no prices."""
        config = self.stage.begin(self.name)
        self.stage.forget_prices()
        self.stage.watch_from_now()
        self.stage.watch.denied = self.kind == DENIED
        self._before = self._unarmed()
        self._laptop = Laptop(config)
        self._saboteur = Saboteur(
            fault=KINDS[self.kind], services=OUTAGES[self.outage], answer=self.stage.inside.answer
        )
        self._saboteur.follow(self._laptop.cloud)
        return config

    def _command(self, config: Config) -> str:
        """Run it while the service is down. Returns how it ended."""
        command, self._saboteur.struck = COMMANDS[self.name], False
        refused = self._refused(lambda: command.run(self._next()), self.name)
        if self.kind == SILENT and (unarmed := self._unarmed() - self._before):
            self._tell(f"unguarded: {', '.join(sorted(unarmed))} runs, and AWS would not stop it")
        if refused:
            return REFUSED
        seen = self.stage.undisturbed(config).observe()
        if command.right(seen):
            return DONE if self._saboteur.struck else NO_CALL
        with self.stage.inside.world.lock:
            left = {kind for kind, *_ in there()}
        # A denied deadline leaves the layers on the box; what is left by `down` is removed by the next one.
        if self.kind == SILENT and not (seen.instance is None and left <= _BILLS_NOTHING):
            self._tell(f"ended, and is not right: {shown(seen)}")
        return IN_PART

    def _answers(self, do: Callable[[], object], what: str) -> None:
        """Without an error, unless EC2 itself is down: then with one line."""
        refused = self._refused(do, what)
        if refused and self._ec2_answers:
            self._tell(f"{what} is refused: {refused}")

    def _refused(self, do: Callable[[], object], what: str) -> GpuBoxError | None:
        try:
            do()
        except GpuBoxError as error:
            if error.exit_code != 1 or "\n" in str(error):
                self._tell(f"{what} ends with {error.exit_code}: {error}")
            return error
        except Exception as error:
            self._tell(f"no clear line of {what}: {type(error).__name__}: {error}")
        return None

    @property
    def _ec2_answers(self) -> bool:
        return "ec2" not in OUTAGES[self.outage]

    def _next(self) -> Laptop:
        """The laptop of the next command, which knows nothing of what the one before has just made."""
        made = self._laptop.cloud.made
        made.forget([*made._at, *made._things])
        return self._laptop

    def _over(self) -> None:
        """The service is back."""
        self.stage.watch.denied = False

    def _unarmed(self) -> set[str]:
        with self.stage.inside.world.lock:
            self.stage.watch.look()
            return self.stage.watch.without_deadline()

    def _running(self) -> set[str]:
        with self.stage.inside.world.lock:
            self.stage.watch.look()
            return self.stage.watch.running()

    def _tell(self, defect: str) -> None:
        self.stage.watch.defects.append(defect)
