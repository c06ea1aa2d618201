"""torchrun, for `python -m vgg16 train`: `python -m vgg16.launch` takes torchrun's own options.

It starts all ranks again if one was lost, but not if a restart cannot help (`elastic.HOPELESS`) or the ranks
were asked to end, and it prints one line instead of torchrun's traceback for every rank.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from torch.distributed import run
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher import api

from vgg16.command import printable
from vgg16.elastic import HOPELESS, launching
from vgg16.ending import EXIT_STATUS

# Ranks that got SIGTERM may save for as long as the longest notice is: EC2's, before it takes a spot machine
# back. torchrun would kill them after 30 s (github.com/pytorch/pytorch/issues/119856).
_SAVING_S = 120


class Agent(LocalElasticAgent):
    """torchrun's own agent, which restarts the ranks only if that can help."""

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result = super()._monitor_workers(worker_group)
        if result.state is WorkerState.FAILED:
            if any(failure.exitcode in (HOPELESS, EXIT_STATUS) for failure in result.failures.values()):
                self._remaining_restarts = 0
            elif self._remaining_restarts > 0:
                print(
                    f"{_lost(result.failures)}: all begin again, after the last finished epoch",
                    file=sys.stderr,
                    flush=True,
                )
        return result


def main() -> int:
    launching()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's own choice, which it warns of in five lines
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SAVING_S))
    # It logs how a rank ended and that it closes the others; we print that.
    for name in ("multiprocessing.api", "agent.server.api"):
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.CRITICAL)
    api.LocalElasticAgent = Agent
    try:
        run.run(run.parse_args(sys.argv[1:]))
    except SignalException as ended:
        return 128 + ended.sigval
    except ChildFailedError as error:
        if any(failure.exitcode == EXIT_STATUS for failure in error.failures.values()):
            return EXIT_STATUS
        reasons = {text for failure in error.failures.values() if (text := _message(failure))}
        for text in sorted(reasons) or [_lost(error.failures)]:
            print(printable(f"error: {text}"), file=sys.stderr, flush=True)
        return 1
    return 0


def _lost(failures: dict[int, ProcessFailure]) -> str:
    """Which ranks failed; those that torchrun then closed by SIGTERM only if there are no others."""
    first = {rank: each for rank, each in failures.items() if each.exitcode != -signal.SIGTERM} or failures
    ends = {
        rank: each.signal_name() if each.exitcode < 0 else f"exit status {each.exitcode}"
        for rank, each in sorted(first.items())
    }
    return ", ".join(f"rank {rank} was lost ({end})" for rank, end in ends.items())


def _message(failure: ProcessFailure) -> str | None:
    """The text in the rank's error file (`elastic.leave_word`)."""
    word = failure.message
    return str(word["message"]) if isinstance(word, dict) else None


if __name__ == "__main__":
    sys.exit(main())
