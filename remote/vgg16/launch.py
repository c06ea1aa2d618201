"""torchrun, for `python -m vgg16 train`: `python -m vgg16.launch` takes torchrun's own words.

It starts all ranks again when one was lost, but not when a restart cures nothing (`elastic.HOPELESS`); and it
says in a line what was wrong, where torchrun shows a traceback of its own for every rank.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from torch.distributed import run
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher import api

from vgg16.elastic import HOPELESS, launching


class Agent(LocalElasticAgent):
    """torchrun's own, which asks before it begins anew whether that can help."""

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result = super()._monitor_workers(worker_group)
        if result.state is WorkerState.FAILED:
            if any(failure.exitcode == HOPELESS for failure in result.failures.values()):
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
    # What it logs of a worker's end, we say; and it closes the others as it should.
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    api.LocalElasticAgent = Agent
    try:
        run.run(run.parse_args(sys.argv[1:]))
    except ChildFailedError as error:
        told = {text for failure in error.failures.values() if (text := _message(failure))}
        for text in sorted(told) or [_lost(error.failures)]:
            print(f"error: {text}", file=sys.stderr, flush=True)
        return 1
    return 0


def _lost(failures: dict[int, ProcessFailure]) -> str:
    """Who failed; not those that torchrun closed for it, by SIGTERM, unless there are no others."""
    first = {rank: each for rank, each in failures.items() if each.exitcode != -signal.SIGTERM} or failures
    ends = {
        rank: each.signal_name() if each.exitcode < 0 else f"exit status {each.exitcode}"
        for rank, each in sorted(first.items())
    }
    return ", ".join(f"rank {rank} was lost ({end})" for rank, end in ends.items())


def _message(failure: ProcessFailure) -> str | None:
    """What the worker left in its error file (`elastic.leave_word`)."""
    word = failure.message
    return str(word["message"]) if isinstance(word, dict) else None


if __name__ == "__main__":
    sys.exit(main())
