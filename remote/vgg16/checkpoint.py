"""Where a run can go on from: what was trained, Adam's moments, the figures so far. Not what was frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from vgg16.errors import Problem
from vgg16.files import write_whole
from vgg16.train import Epoch, Trainer


def save(
    path: Path, trainer: Trainer, history: list[Epoch], identity: str, say: Callable[[str], None]
) -> None:
    """identity: what must be the same to go on (weights, data, settings). A full disk costs this one only."""
    state = {
        "identity": identity,
        "trained": _trained(trainer),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "lr": trainer.lr,
        "history": [asdict(epoch) for epoch in history],
    }
    try:
        write_whole(path, lambda file: torch.save(state, file))
    except (OSError, RuntimeError) as error:  # torch's zip writer wraps a full disk in a RuntimeError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(f"checkpoint not written ({reason}); the one before it is whole, and training goes on")


def restore(path: Path, trainer: Trainer, identity: str) -> list[Epoch]:
    """Puts the trainer where it was; the figures up to there, empty where there is no checkpoint yet.

    The first rank's file is everybody's: other machines have none. Raises Problem where it is of another run.
    """
    found = trainer.ranks.first and path.exists()
    state = trainer.ranks.firsts(torch.load(path, map_location="cpu", weights_only=True) if found else None)
    if state is None:
        return []
    if state["identity"] != identity:
        raise Problem(
            f"{path} is of another run:\n  there {state['identity']}\n  now   {identity}\n"
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
    return history


def _trained(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.data for name, tensor in trainer.net.named_parameters() if tensor.requires_grad}
