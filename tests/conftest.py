"""What every test stands on: no account, no home folder and no network but this machine's own.

Sub-processes inherit the environment made here; the network guard reaches this process alone.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import shutil
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from testbed import control
from testbed.scheduling import pytest_xdist_make_scheduler  # noqa: F401 - a hook

from gpu_box.errors import GpuBoxError
from gpu_box.resources import local_policies
from gpu_box.view import json
from local_aws import daemon

# Several suites share a machine's cores: an example's time says nothing, a test's own limit holds.
settings.register_profile("gpu-box", deadline=None)
settings.load_profile("gpu-box")

_REQUIRE_MACHINES = "GPU_BOX_REQUIRE_MACHINES"
_SHORT = "GPU_BOX_SHORT"  # not empty: without what tests/long.txt names
_SKIPPED = "GPU_BOX_SKIPPED"  # a file: the names of the skipped tests are added to it, for `.ci/run`
_DOCUMENTATION = ipaddress.ip_network("192.0.2.0/24")
# The longest first, in this order: the last one to begin is the last one to end.
_LONGEST = (
    "test_story.py",
    "test_blocks.py",
    "test_stopped_box.py",
    "test_stop_guarantee.py",
    "test_walk.py",
    "test_project_steps.py",
    "test_setup.py",
)
_STORIES = frozenset(
    {"test_cluster_story.py", "test_spot_story.py", "test_account.py", "test_planted_secrets.py",
     "test_hands.py", "test_train_command.py", "test_ranks.py", "test_watcher.py"}
)  # fmt: skip
_TAKEN_AWAY = ("AWS_", "GPU_BOX_", "BOTO_")


@pytest.fixture(scope="session", autouse=True)
def _isolated_session() -> Iterator[Path]:
    """Before any fixture that starts a daemon for the whole session: what it inherits is clean already.

    Yields the folder of the homes: short, since a socket's path has room for some 100 characters.
    """
    real_home = Path.home()
    folder = Path(tempfile.mkdtemp(prefix="gb-", dir="/tmp"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job, and so would be all that it starts: deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_TAKEN_AWAY) and not name.startswith("GPU_BOX_REQUIRE_"):
                patch.delenv(name)
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "NO_COLOR", "FORCE_COLOR",
                     "PYTHONDONTWRITEBYTECODE"):  # fmt: skip
            patch.delenv(name, raising=False)
        # Without credentials boto3 would ask the instance metadata service, an address beyond loopback.
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # The session's cloud may be unused for longer than the 10 minutes after which it would end by itself.
        patch.setenv("GPU_BOX_EMBEDDED_LINGER_S", "7200")
        patch.setenv("HOME", str(folder))
        _keep_installers_fast(patch, real_home)
        patch.delenv("XDG_CACHE_HOME", raising=False)
        # Several trainings share the cores, in boxes too: threads that spin while waiting double it.
        patch.setenv("OMP_NUM_THREADS", "1")
        # Built once for the session: matplotlib's list of fonts takes seconds.
        patch.setenv("MPLCONFIGDIR", str(folder / "matplotlib"))
        patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cloud_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cloud")


@pytest.fixture(scope="session")
def _ends_the_cloud(cloud_home: Path) -> Iterator[None]:
    yield
    daemon.stop(cloud_home)


@pytest.fixture(scope="module")
def empty_cloud(cloud_home: Path, _ends_the_cloud: None) -> Iterator[Path]:
    """The folder of the worker's embedded cloud, which is empty when a file of tests begins.

    Terminated instances are shown for an hour, and each call looks at all of them. The cloud is started again
    if the worker had no use for it for so long that it ended.
    """
    daemon.start(cloud_home, local_policies())
    yield cloud_home
    assert control.ask(cloud_home, "DELETE", "/embedded/world")[0] == 200


@pytest.fixture(scope="module")
def embedded_exports(empty_cloud: Path) -> dict[str, str]:
    """The exports of the user with infra/operator-policy.json, which it enforces."""
    return daemon.start(empty_cloud, local_policies())


@pytest.fixture(autouse=True)
def _own_home(_isolated_session: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of its own for each test, empty."""
    home = Path(tempfile.mkdtemp(dir=_isolated_session))
    monkeypatch.setenv("HOME", str(home))
    # What the SDK needs to know of EC2 is worked out once for all of them: seconds, each time.
    models = _isolated_session / "models"
    models.mkdir(exist_ok=True)
    (home / ".cache" / "gpu-box").mkdir(parents=True)
    (home / ".cache" / "gpu-box" / "models").symlink_to(models)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _few_open_files() -> Iterator[None]:
    """Commands that ran in this process leave connections to their cloud, which Python closes when it looks
    for cycles: with all that the tests import, after more files than an ordinary user may open.
    """
    yield
    if _FILES.is_dir() and len(os.listdir(_FILES)) > _MOST_FILES:
        gc.collect()


@pytest.fixture(autouse=True)
def _no_value_is_printed_yet() -> None:
    """As when a command begins: what a test prints by itself is no other command's value."""
    json.forget()


_FILES, _MOST_FILES = Path("/dev/fd"), 200  # of this process; a test may add hundreds, and 1,024 are allowed
# A question or a list that ends with a full stop, two full stops, empty brackets, a value that is None.
_ILL_JOINED = re.compile(r"[?!:;,]\.(?=\s|$)|(?<!\.)\.\.(?=\s|$)|[a-z)]\s[.,;](?=\s|$)| \(\)|: None\b")


@pytest.fixture(autouse=True)
def _every_message_is_well_joined(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Whatever error a test makes, in this process: what, where and remedy read as one.

    Not those that quote a hostile box or cloud.
    """
    if request.path.parent.name == "hostile":
        yield
        return
    made: list[str] = []
    plain = GpuBoxError.__init__

    def collecting(self: GpuBoxError, *words: Any, **named: Any) -> None:
        plain(self, *words, **named)
        made.append(GpuBoxError.__str__(self))

    monkeypatch.setattr(GpuBoxError, "__init__", collecting)
    yield
    ill = [message for message in made if _ILL_JOINED.search(message)]
    assert not ill, f"ill joined: {ill}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where machines are required, a test that needs one and is skipped has failed."""
    report = yield
    if (
        report.skipped
        and os.environ.get(_REQUIRE_MACHINES)
        and item.get_closest_marker("machine")
        and not hasattr(report, "wasxfail")
    ):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {_REQUIRE_MACHINES} is set, and this test was skipped. {why}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files, machines, stories of whole boxes: they wait more than they work; then the others."""

    def turn(item: pytest.Item) -> int:
        if item.path.name in _LONGEST:
            return _LONGEST.index(item.path.name)
        if item.get_closest_marker("machine"):
            return len(_LONGEST)
        return len(_LONGEST) + (1 if item.path.name in _STORIES else 2)

    items.sort(key=turn)
    if os.environ.get(_SHORT):
        text = Path(__file__).with_name("long.txt").read_text(encoding="utf-8")
        long = {line for line in text.splitlines() if not line.startswith("#")}
        for item in items:
            name = item.nodeid
            if not long.isdisjoint({name, name.partition("[")[0], name.partition("::")[0]}):
                item.add_marker(pytest.mark.skip(reason="it takes long: `make test-all` runs it"))


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not look through it, pytest's five times at the end."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _say_what_stopped(terminalreporter)
    _say_what_was_skipped(terminalreporter)
    if path := os.environ.get(_SKIPPED):
        names = [f"{report.nodeid}\n" for report in terminalreporter.stats.get("skipped", [])]
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(names)


def _say_what_was_skipped(terminalreporter: pytest.TerminalReporter) -> None:
    """Why, and how many tests for each reason: pytest's own list (-rs) has a line for each test."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ").partition("\n")[0] for report in reports
    )
    if reasons:
        terminalreporter.section(f"skipped: {reasons.total()}")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:4}  {reason}")


def _say_what_stopped(terminalreporter: pytest.TerminalReporter) -> None:
    """Which layer of the stop guarantee caught what, as tests/real_machine recorded it."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "stopped"
    ]
    if rows:
        terminalreporter.section("stopped by, and how many seconds after the fault or the end of the work")
    for what, layer, seconds, reason in sorted(rows, key=lambda row: (row[1], row[0])):
        terminalreporter.write_line(f"{layer:9} {seconds:4.0f} s  {what}: {reason}")


def _keep_installers_fast(patch: pytest.MonkeyPatch, real_home: Path) -> None:
    """pip and uv find their caches and settings through HOME; tests that install need the real ones."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or real_home / ".cache")
    config = real_home / ".config"
    found = {
        "UV_CACHE_DIR": cache / "uv",
        "PIP_CACHE_DIR": cache / "pip",
        "PIP_CONFIG_FILE": config / "pip" / "pip.conf",
        "UV_CONFIG_FILE": config / "uv" / "uv.toml",
        "UV_PYTHON_INSTALL_DIR": real_home / ".local" / "share" / "uv" / "python",
    }
    # Whoever has no network is to fail, and not whoever has none for a second.
    patch.setenv("UV_HTTP_RETRIES", os.environ.get("UV_HTTP_RETRIES", "6"))
    for name, path in found.items():
        if name not in os.environ and (path.exists() or name.endswith("CACHE_DIR")):
            patch.setenv(name, str(path))


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        # A datagram socket sends nothing by being connected: that is how one's own address is found.
        over_ip = self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM
        if over_ip and not _stays_here(str(address[0])):
            pytest.fail(f"a test reached for the network: {address[0]}:{address[1]}")
        return connect(self, address)

    return guarded


def _stays_here(host: str) -> bool:
    """Loopback, an address of documentation (RFC 5737: routed nowhere), or another of this machine's own."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if address.is_loopback or address in _DOCUMENTATION:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))  # only an own address can be bound
        except OSError:
            return False
    return True
