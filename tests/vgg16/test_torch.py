"""What vgg16 needs of PyTorch beyond its documentation: a failure names what an upgrade moved."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.distributed.elastic.agent.server.api import SimpleElasticAgent
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.launcher import api

from vgg16.speed import compiled

TORCH = f"torch {torch.__version__}"


def test_a_network_that_cannot_be_compiled_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    net, inputs = nn.Linear(2, 2), torch.ones(1, 2)
    try:
        made = compiled(net)(inputs)
    except Exception as error:
        pytest.fail(f"{TORCH}: torch._dynamo.config.suppress_errors does not do for vgg16/speed.py: {error}")
    assert torch.equal(made, net(inputs))


def test_torchrun_asks_our_agent_whether_to_begin_again() -> None:
    where = "which vgg16/launch.py needs to end a training that a restart cannot cure"
    assert hasattr(LocalElasticAgent, "_monitor_workers"), f"{TORCH} has no _monitor_workers, {where}"
    read = SimpleElasticAgent._invoke_run.__code__.co_names
    for name in ("_monitor_workers", "_remaining_restarts"):
        assert name in read, f"{TORCH}: torchrun's loop no longer reads {name}, {where}"
    used = api.launch_agent.__wrapped__ if hasattr(api.launch_agent, "__wrapped__") else api.launch_agent
    assert "LocalElasticAgent" in used.__code__.co_names, (
        f"{TORCH}: launcher.api no longer makes a LocalElasticAgent by that name, {where}"
    )
