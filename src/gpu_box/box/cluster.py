"""Boxes that train as one: `boxes: N` in the config means N boxes, close together in one zone.

Each member is a complete box with its own key pair, security group, deadline, watcher and cost, and is
stopped and guarded like any other box. aws/cluster makes what the members share.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import gpu_box.box.up
from gpu_box.aws.client import Cloud
from gpu_box.aws.cluster import make_cluster, remove_cluster
from gpu_box.box import find, stop, work
from gpu_box.box.members import Named, each_member, members_of
from gpu_box.box.project import WORK
from gpu_box.box.usable import require_usable
from gpu_box.config import values
from gpu_box.config.model import Config
from gpu_box.errors import CloudError, InputError
from gpu_box.machine import jobs
from gpu_box.machine.files.variables import Variables
from gpu_box.machine.ssh import keys
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.job import Queue
from gpu_box.model.machine import Host
from gpu_box.model.observed import InstanceState
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Gone, JobStarted
from gpu_box.units import format_duration

_PORT = 29500  # torchrun's default rendezvous port
_LONGEST_RUN = timedelta(days=30)  # as limits.max_hours


def limited(config: Config, *, span: timedelta | None = None, usd: Decimal | float | None = None) -> Config:
    """The config with limits for this run: its longest time, and what all boxes together may cost.

    Raises InputError for what is not above zero or too large.
    """
    if span is not None and not timedelta(0) < span <= _LONGEST_RUN:
        longest = format_duration(_LONGEST_RUN)
        raise InputError(f"a run's time must be above zero and at most {longest}", where="up")
    try:
        share = None if usd is None else values.run_usd(f"{usd:.6f}") / config.boxes
    except ValueError as error:
        raise InputError(str(error), where="up") from None
    return replace(config, run_for=span, run_usd=share)


def up(
    cloud: Cloud,
    report: Reporter,
    *,
    wait: timedelta = timedelta(0),
    loosen: bool | None = False,
    env: Variables | None = None,
) -> list[gpu_box.box.up.Up]:
    """Bring up every member in the first one's zone. Can be run again to continue. Raises GpuBoxError.

    wait, loosen, env: as for `box.up`.
    """
    env = env or require_usable(cloud.config)
    first, *others = members = members_of(cloud)
    if not others:
        return [gpu_box.box.up.up(first, report, wait=wait, loosen=loosen, env=env)]
    key = keys.ensure_key_pair(first.config.ssh.key)
    make_cluster(first, report)
    its = Named(first.config.name, report)
    observed = gpu_box.box.up.bring_up(first, key.line, its, wait=wait, loosen=loosen)[1]
    assert observed.instance is not None
    zone = observed.instance.zone
    placed = [first, *(other.sharing(replace(other.config, zones=(zone,))) for other in others)]
    try:
        return each_member(
            placed,
            lambda member, its: gpu_box.box.up.up(member, its, wait=wait, loosen=loosen, env=env),
            report,
        )
    except CloudError as error:
        raise type(error)(
            f"not all of {len(members)} boxes are up in {zone}: {error.what}",
            where=error.where,
            remedy=f"{error.remedy or ''} The others run, and stop themselves when idle: "
            "`gpu-box up` continues, `gpu-box stop` stops all.".strip(),
            code=error.code,
        ) from error


def down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> list[Gone]:
    """Remove every member with its disk, then what they shared. Raises GpuBoxError."""
    members = members_of(cloud)
    gone = each_member(members, lambda member, its: stop.down(member, its, keep_images=keep_images), report)
    if members[0].config.cluster and len(members) > 1:
        remove_cluster(members[0], report)
    return gone


def train(
    cloud: Cloud,
    data: str,
    settings: Mapping[str, object],
    *,
    queue: Queue | None = None,
    then_stop: bool = False,
    agree: work.Agree = lambda *_: None,
) -> JobStarted:
    """Run torchrun on every member, with rank 0 and the results on the first. Returns the first's job.

    then_stop: each box stops itself when its job has ended. agree: asks the user before anything starts.
    Raises InputError for a queue of several boxes.
    """
    members = members_of(cloud)
    if len(members) == 1:
        return work.train(members[0], data, settings, queue=queue, then_stop=then_stop, agree=agree)
    if queue:
        raise InputError(
            f"{len(members)} boxes train together, and each has a queue of its own",
            where="--queue",
            remedy="Leave out --queue, or choose one box with --name.",
        )
    found = [find.locate(member) for member in members]
    for member, observed in zip(members, found, strict=True):
        instance = observed.instance
        if instance is None or instance.state is not InstanceState.RUNNING:
            raise CloudError(
                f"{member.config.name} is not running", remedy="`gpu-box up` brings all boxes up."
            )
    hosts = [find.host_of(member.config, observed) for member, observed in zip(members, found, strict=True)]
    agree(found, partial(_refuse_a_second, hosts))
    first = found[0].instance
    assert first is not None and first.private_address is not None
    priced = work.with_price(members, found, settings)
    run = secrets.token_hex(4)
    # The first member last: the others wait for it, and its job is the one that is followed.
    for rank in reversed(range(len(hosts))):
        line = torchrun(rank, len(hosts), first.private_address, run) + work.training(data, priced)
        with connect(hosts[rank]) as connection:
            work.push_variables(connection, members[rank].config)
            whole = work.OWN_PYTHON + work.prepared(data) + line
            jobs.start(connection, work.TRAIN_JOB, whole, cwd=WORK, then_stop=then_stop)
    return JobStarted(host=hosts[0], job=work.TRAIN_JOB)


def _refuse_a_second(hosts: Sequence[Host]) -> None:
    for host in hosts:
        with connect(host) as connection:
            jobs.start(connection, work.TRAIN_JOB, "true", cwd=WORK, check=True)


def torchrun(rank: int, count: int, address: str, run: str) -> str:
    """The shell command before `-m vgg16 train ...`. address: rank 0's, in the members' network.

    One process per GPU, or a single process. gloo and NCCL are given the interface of the route to rank 0,
    each in its own syntax: gloo compares whole names, NCCL takes prefixes unless the value begins with "=".
    Without it, gloo uses the address that the host name resolves to, which may be the loopback's.
    https://docs.pytorch.org/docs/stable/distributed.html "Choosing the network interface to use"
    https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html "NCCL_SOCKET_IFNAME"
    """
    static = (
        f"--nnodes={count} --node-rank={rank} --rdzv-id={run} --max-restarts={work.RESTARTS} "
        f"--master-addr={shlex.quote(address)} --master-port={_PORT}"
    )
    # On rank 0 the route's device is the loopback, but its source is the address that others reach.
    own = f"$(ip -o route get {shlex.quote(address)} | sed -n 's/.* src \\([^ ]*\\).*/\\1/p')"
    link = """${own:+$(ip -o address show to "$own" | sed -n '1s/^[0-9]*: *\\([^ ]*\\) .*/\\1/p')}"""
    return (
        f'own={own}; link={link}; [ -z "$link" ] || '
        'export GLOO_SOCKET_IFNAME="$link" NCCL_SOCKET_IFNAME="=$link"; '
        "gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU'); "
        f'python -m vgg16.launch {static} --nproc-per-node="$((gpus > 0 ? gpus : 1))" '
    )
