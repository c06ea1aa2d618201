"""A run's state on disk: trained weights, Adam's moments, the figures so far; not the frozen weights.

In the middle of a pass also the steps done and every rank's sums over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vgg16 import Problem
from vgg16.files import refuse_special, write_whole
from vgg16.train import Epoch, Totals, Trainer

_KEYS = {"identity", "trained", "optimizer", "scaler", "history"}


def save(
    path: Path, trainer: Trainer, history: list[Epoch], identity: str, say: Callable[[str], None]
) -> bool:
    """Write the first rank's file; every rank calls it. Returns whether that worked: a full disk is no error.

    identity: what must be the same to resume (weights, data, settings).
    """
    ranks = trainer.ranks
    sums = ranks.gather(trainer.total.sums.tolist()) if trainer.steps else []
    state = {
        "identity": identity,
        "trained": _trained(trainer),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "lr": trainer.lr,
        "history": [asdict(epoch) for epoch in history],
        "half": {"step": trainer.steps, "sums": sums} if trainer.steps else None,
    }
    written = ranks.first
    if ranks.first:
        try:
            write_whole(path, lambda file: torch.save(state, file))
        except (OSError, RuntimeError) as error:  # torch's zip writer wraps a full disk in a RuntimeError
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            say(f"checkpoint not written ({reason}); the one before it is whole")
            written = False
    return ranks.firsts(written)


def restore(path: Path, trainer: Trainer, identity: str) -> list[Epoch]:
    """Restore the trainer. Returns the figures so far, none if there is no checkpoint.

    The first rank reads the file for all, as other machines have none. Raises Problem for another run's file
    and a damaged one.
    """
    state = trainer.ranks.firsts(
        _read(path) if trainer.ranks.first and refuse_special(path).exists() else None
    )
    if state is None:
        return []
    if isinstance(state, str):
        raise Problem(f"{path}: this checkpoint cannot be read ({state}). Without --resume it begins anew.")
    if state["identity"] != identity:
        raise Problem(
            f"{path} is of another run, with {state['identity']}; this one has {identity}. "
            "Without --resume it begins anew."
        )
    trained = _trained(trainer)
    with torch.no_grad():
        for name, tensor in state["trained"].items():
            trained[name].copy_(tensor)
    lr = trainer.lr
    trainer.optimizer.load_state_dict(state["optimizer"])
    for group in trainer.optimizer.param_groups:
        group["lr"] = lr
    trainer.scaler.load_state_dict(state["scaler"])
    history = [Epoch(**epoch) for epoch in state["history"]]
    trainer.done = len(history)
    if half := state.get("half"):
        trainer.steps = trainer.resumed = half["step"]
        trainer.total = _totals(trainer, half["sums"])
    return history


def _read(path: Path) -> dict[str, Any] | str:
    """The state, or why the file is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch.load raises half a dozen types for damaged files
        return (str(error) or type(error).__name__).splitlines()[0][:120]
    return state if isinstance(state, dict) and state.keys() >= _KEYS else "it is none of this program"


def _totals(trainer: Trainer, sums: list[list[float]]) -> Totals:
    """This rank's own; if the number of ranks has changed, the first one takes the sum."""
    ranks = trainer.ranks
    if len(sums) == ranks.world:
        own = sums[ranks.rank]
    else:
        own = [sum(column) for column in zip(*sums, strict=True)] if ranks.first else (0, 0, 0)
    return Totals(trainer.precision.device, own)


def _trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.data for name, tensor in trainer.net.named_parameters() if tensor.requires_grad}
