"""Boxes that train as one: `boxes: N` in the config is N boxes in one zone, close to each other.

Each member is a whole box in its own right, with its own key pair, group, deadline, watcher and money: what
holds for one box holds for it, and nothing here stops or guards anything. What they share is in aws/cluster.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import gpu_box.box.up
from gpu_box.aws.client import Cloud
from gpu_box.aws.cluster import make_cluster, remove_cluster
from gpu_box.box import find, stop, work
from gpu_box.box.members import Named, each_member, members_of
from gpu_box.box.project import WORK
from gpu_box.errors import CloudError
from gpu_box.machine import jobs
from gpu_box.machine.ssh import keys
from gpu_box.machine.ssh.connection import connect
from gpu_box.model.observed import InstanceState
from gpu_box.model.progress import Reporter
from gpu_box.model.results import Gone, JobStarted

_PORT = 29500  # torchrun's own default for its rendezvous


def up(
    cloud: Cloud, report: Reporter, *, wait: timedelta = timedelta(0), loosen: bool | None = False
) -> list[gpu_box.box.up.Up]:
    """Every member, the first one's zone for all. Run again, it goes on where it was. Raises GpuBoxError.

    wait, loosen: as of `box.up`.
    """
    first, *others = members = members_of(cloud)
    if not others:
        return [gpu_box.box.up.up(first, report, wait=wait, loosen=loosen)]
    key = keys.ensure_key_pair(first.config.ssh.key)
    make_cluster(first, report)
    its = Named(first.config.name, report)
    observed = gpu_box.box.up.bring_up(first, key.line, its, wait=wait, loosen=loosen)[1]
    assert observed.instance is not None
    zone = observed.instance.zone
    placed = [first, *(other.sharing(replace(other.config, zones=(zone,))) for other in others)]
    try:
        return each_member(
            placed, lambda member, its: gpu_box.box.up.up(member, its, wait=wait, loosen=loosen), report
        )
    except CloudError as error:
        raise type(error)(
            f"not all of {len(members)} boxes are up in {zone}: {error.what}",
            where=error.where,
            remedy=f"{error.remedy or ''} Those that are up run, and stop themselves when idle: "
            "`gpu-box up` goes on, `gpu-box stop` stops them all.".strip(),
            code=error.code,
        ) from error


def down(cloud: Cloud, report: Reporter, *, keep_images: bool = False) -> list[Gone]:
    """Every member with its disk, then what they shared. Raises GpuBoxError."""
    members = members_of(cloud)
    gone = each_member(members, lambda member, its: stop.down(member, its, keep_images=keep_images), report)
    if members[0].config.cluster and len(members) > 1:
        remove_cluster(members[0], report)
    return gone


def train(cloud: Cloud, data: str, settings: Mapping[str, object]) -> JobStarted:
    """torchrun on every member, rank 0 and with it all results on the first. Returns the first one's job."""
    members = members_of(cloud)
    if len(members) == 1:
        return work.train(members[0], data, settings)
    found = [find.where(member) for member in members]
    for member, observed in zip(members, found, strict=True):
        instance = observed.instance
        if instance is None or instance.state is not InstanceState.RUNNING:
            raise CloudError(f"{member.config.name} does not run", remedy="`gpu-box up` brings all boxes up.")
    hosts = [find.host_of(member.config, observed) for member, observed in zip(members, found, strict=True)]
    first = found[0].instance
    assert first is not None and first.private_address is not None
    priced = work.with_price(members, found, settings)
    run = secrets.token_hex(4)
    # The first last: the others wait for it, and its job is the one that is followed.
    for rank in reversed(range(len(hosts))):
        line = torchrun(rank, len(hosts), first.private_address, run) + work.training(data, priced)
        with connect(hosts[rank]) as connection:
            jobs.start(connection, work.TRAIN_JOB, work.prepared(data) + line, cwd=WORK)
    return JobStarted(host=hosts[0], job=work.TRAIN_JOB)


def torchrun(rank: int, count: int, address: str, run: str) -> str:
    """The words before `-m vgg16 train ...`, for the machine's shell. address: of rank 0, among the members.

    One process a GPU; without one, a single process. gloo and NCCL are told the interface that leads to rank
    0: by itself gloo takes the one that the host's own name resolves to, which may be none of the network's.
    """
    static = (
        f"--nnodes={count} --node-rank={rank} --rdzv-id={run} --max-restarts={work.RESTARTS} "
        f"--master-addr={shlex.quote(address)} --master-port={_PORT}"
    )
    link = f"$(ip -o route get {shlex.quote(address)} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')"
    return (
        f'link={link}; [ -z "$link" ] || export GLOO_SOCKET_IFNAME=$link NCCL_SOCKET_IFNAME=$link; '
        "gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU'); "
        f'python -m vgg16.launch {static} --nproc-per-node="$((gpus > 0 ? gpus : 1))" '
    )
