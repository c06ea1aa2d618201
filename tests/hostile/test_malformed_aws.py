"""AWS's answers spoiled on their way, one after another, for every command.

Each command ends with one line and exit status 1, or does its work all the same; the right state comes with
the next run, and nothing is left by `down`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from testbed.cloud import wait_until

from gpu_box.aws import answers, client
from gpu_box.cli.main import main
from gpu_box.errors import GpuBoxError
from gpu_box.model.observed import Instance, InstanceState
from local_aws.faults import weather

from ..faults.apart import impatient
from ..faults.commands import COMMANDS
from ..faults.conftest import one_stage
from ..faults.stage import Laptop, Stage
from .aws_endpoint import FOR_EVER, MOVES, Endpoint, hostile_endpoint
from .test_answers_of_the_box import OBEYED

__all__ = ["one_stage"]

NO_ANSWER = ("a proxy's page that is XML", "half of the answer", "nothing", "an error without a code")
QUICK = sorted(set(MOVES) - FOR_EVER)
MOVES_EACH = int(os.environ.get("GPU_BOX_HOSTILE_MOVES", "1"))  # of QUICK, for a command; 22: all


@pytest.fixture(scope="module")
def endpoint(one_stage: Stage) -> Iterator[Endpoint]:
    with hostile_endpoint(one_stage.inside.exports["AWS_ENDPOINT_URL"]) as one:
        yield one


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PATIENT", (2, 5, 20, 20))
    monkeypatch.setattr(client, "_BRISK", (1, 2, 4, 10))


@contextmanager
def wired(stage: Stage, endpoint: Endpoint) -> Iterator[None]:
    """The laptop reaches the cloud through the hostile endpoint."""
    true = os.environ["AWS_ENDPOINT_URL"]
    os.environ["AWS_ENDPOINT_URL"] = endpoint.address
    try:
        yield
    finally:
        endpoint.obey()
        os.environ["AWS_ENDPOINT_URL"] = true


def refused(error: GpuBoxError) -> None:
    said = str(error)
    assert "\n" not in said and len(said) < 1500, said
    assert error.exit_code == 1, said
    assert not OBEYED & set(said), ascii(said)


@pytest.mark.parametrize("name", [name for name in COMMANDS if not COMMANDS[name].enters])
def test_a_malformed_answer_loses_nothing(one_stage: Stage, endpoint: Endpoint, name: str) -> None:
    command = COMMANDS[name]
    config = one_stage.begin(name)
    with wired(one_stage, endpoint), impatient():
        endpoint.obey()
        command.run(Laptop(config))
        calls = len(endpoint.operations)
    draw = Random(name)
    for move in draw.sample(QUICK, min(MOVES_EACH, len(QUICK))):
        at = draw.randrange(calls)
        config = one_stage.begin(name)
        one_stage.watch_from_now()
        well = False
        what = f"{name}, {move}, answer {at}"
        with wired(one_stage, endpoint), impatient():
            endpoint.spoil(at, move, seed=name)
            try:
                command.run(Laptop(config))
                well = True
            except GpuBoxError as error:
                refused(error)
            except Exception as error:
                error.add_note(f"{what} ({endpoint.operations[-3:]})")
                raise
        one_stage.mend(command, config, twice=well)
        assert one_stage.watch.defects == [], what


@pytest.fixture
def box(one_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of a box that runs, without a machine behind it."""
    config = one_stage.begin("stop")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"name: {config.name}\nregion: us-east-1\nssh: {{key: {config.ssh.key}, config: false}}\n"
        "network: {allow_ssh_from: [127.0.0.1]}\naws: {tags: {CostCenter: ml-7}}\n"
        "limits: {budget: 50}\n"
    )
    monkeypatch.chdir(tmp_path)
    return path


READERS = [
    "plan",
    "status",
    "ls",
    "why",
    "cost",
    "doctor",
    "sweep",
    "report",
    "extend 1h",
    "keep 1h",
    "logs",
]


@pytest.mark.parametrize("command", READERS)
def test_a_malformed_answer_is_one_line(
    one_stage: Stage, endpoint: Endpoint, box: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(box), "--yes", *command.split()]
    with wired(one_stage, endpoint), impatient():
        endpoint.obey()
        main(words)
        calls, draw = len(endpoint.operations), Random(command)
        for move in draw.sample(QUICK, min(3 * MOVES_EACH, len(QUICK))):
            one_stage.forget_prices()
            at = draw.randrange(calls)
            endpoint.spoil(at, move, seed=command)
            capsys.readouterr()
            code = main(words)
            out, err = capsys.readouterr()
            what = f"{command}, {move}, answer {at} of {endpoint.operations}: {code}\n{out}{err}"
            assert code in (0, 1), what
            assert "bug" not in err and "Traceback" not in err, what
            # `doctor` and `sweep` name in their tables what they could not read.
            assert err.count("error: ") == code or command in ("doctor", "sweep"), what
            assert not OBEYED & set(out + err), what


@pytest.fixture
def one_region() -> Iterator[None]:
    weather().change({"regions": ["us-east-1"]})
    yield
    weather().change({"regions": []})


@pytest.mark.usefixtures("one_region")
@pytest.mark.parametrize("command", ["ls", "sweep"])
@pytest.mark.parametrize("move", sorted(FOR_EVER))
def test_an_answer_without_an_end_ends_the_command(
    one_stage: Stage,
    endpoint: Endpoint,
    box: Path,
    move: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(client, "_PATIENT", (2, 5, 20, 3))
    monkeypatch.setattr(answers, "LARGEST", 1 << 20)
    monkeypatch.setattr(answers, "_MOST_PAGES", 5)
    with wired(one_stage, endpoint):
        endpoint.spoil_operation("DescribeInstances", move)
        assert main(["--config", str(box), command]) == 1
    said = "".join(capsys.readouterr())
    expected = {
        "pages without end": "its pages do not end",
        "a drip": "is not complete after 3 s",
        "bytes without end": "is larger than 1 MiB",
    }
    assert expected[move] in " ".join(said.split())


@pytest.mark.usefixtures("one_region")
def test_what_a_malformed_answer_kept_sweep_from_removing_goes_with_the_next(
    one_stage: Stage, endpoint: Endpoint, box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(box), "--yes", "sweep", "--remove"]
    with wired(one_stage, endpoint), impatient():
        endpoint.obey()
        assert main(words) == 0
        calls, draw = len(endpoint.operations), Random("sweep --remove")
        for move in draw.sample(QUICK, min(3 * MOVES_EACH, len(QUICK))):
            config, at = one_stage.begin("stop"), draw.randrange(calls)
            capsys.readouterr()
            endpoint.spoil(at, move)
            code = main(words)
            said = "".join(capsys.readouterr())
            what = f"{move}, answer {at} of {endpoint.operations}: {code}\n{said}"
            assert code in (0, 1) and "bug" not in said and "Traceback" not in said, what
            endpoint.obey()
            assert main(words) == 0, what
            assert one_stage.undisturbed(config).observe().live == (), what


@pytest.mark.usefixtures("one_region")
def test_sweep_names_the_region_where_an_instance_that_aws_launched_again_has_no_id(
    one_stage: Stage,
    endpoint: Endpoint,
    box: Path,
    spot: Laptop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    its_id = f"<instanceId>{launched_again(spot).id}</instanceId>".encode()
    monkeypatch.setitem(MOVES, "no id", lambda sent, _: replace(sent, body=sent.body.replace(its_id, b"")))
    with wired(one_stage, endpoint), impatient():
        endpoint.spoil_operation("DescribeInstances", "no id")
        assert main(["--config", str(box), "sweep"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "NOT checked: us-east-1: AWS's answer to DescribeInstances makes no sense: it has no" in said


def test_stop_needs_only_the_instance_and_its_stop(
    one_stage: Stage, endpoint: Endpoint, box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = one_stage.begin("stop")
    for move in NO_ANSWER:
        for operation in ("DescribeSecurityGroups", "DescribeKeyPairs", "GetRole"):
            one_stage.begin("stop")
            with wired(one_stage, endpoint), impatient():
                endpoint.spoil_operation(operation, move)
                assert main(["--config", str(box), "--yes", "stop"]) == 0, capsys.readouterr().err
            seen = one_stage.undisturbed(config).observe().instance
            assert seen and seen.state is InstanceState.STOPPED


@pytest.fixture
def spot(one_stage: Stage, box: Path) -> Laptop:
    """A spot instance runs; its config is the one of `box`."""
    config = one_stage.begin("stop of spot")
    text = box.read_text().replace("limits: {budget: 50}", "market: spot")
    box.write_text(re.sub("^name: .*", f"name: {config.name}", text))
    return one_stage.undisturbed(config)


def launched_again(spot: Laptop) -> Instance:
    """The instance that AWS launches in the place of the one that ends."""
    [first] = spot.observe().live
    spot.cloud.ec2.terminate_instances(InstanceIds=[first.id])
    wait_until(lambda: [one.id for one in spot.observe().live] not in ([first.id], []))
    [again] = spot.observe().live
    return again


@pytest.mark.parametrize("move", NO_ANSWER)
def test_stop_stops_what_aws_launched_again_although_its_request_is_unreadable(
    one_stage: Stage, endpoint: Endpoint, box: Path, spot: Laptop, move: str
) -> None:
    again = launched_again(spot)
    assert not again.tagged
    with wired(one_stage, endpoint), impatient():
        endpoint.spoil_operation("DescribeSpotInstanceRequests", move)
        assert main(["--config", str(box), "--yes", "stop"]) == 0
    assert [(one.id, one.state) for one in spot.observe().live] == [(again.id, InstanceState.STOPPED)]


@pytest.mark.parametrize("move", NO_ANSWER)
def test_a_box_is_shown_stopped_and_removed_although_a_relaunch_cannot_be_read(
    one_stage: Stage,
    endpoint: Endpoint,
    box: Path,
    spot: Laptop,
    move: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(command: str) -> tuple[int, str]:
        with wired(one_stage, endpoint), impatient():
            endpoint.spoil_operation("DescribeInstances", move, asked="instance.group-name")
            code = main(["--config", str(box), "--yes", command])
        out, err = capsys.readouterr()
        assert err.count("error: ") == code, err
        return code, " ".join((out + err).split())

    for command in ("status", "stop"):
        code, said = run(command)
        assert code == 0 and "another instance" in said, said
    [stopped] = spot.observe().live
    assert stopped.state is InstanceState.STOPPED
    assert run("down")[0] == 1  # whether AWS has launched again is unknown
    assert spot.observe().live == ()
    assert main(["--config", str(box), "--yes", "down"]) == 0
