"""`make test-aws`: the story of tests/people/test_story.py, in your own AWS account.

It costs well under a dollar, of an account that may spend five: one t3.large ($0.0832/h in us-east-1) for
half an hour or so. Not a GPU: a new account has a quota of 0 vCPUs for those, and what differs on AWS (its
calls, its network, its clocks, systemd, root) is the same without one. `TYPE=g4dn.xlarge` takes one.

What needs no money comes first, within a minute: `doctor` (credentials, clock, permissions by DryRun, quota,
image, prices) and `plan`. The story ends there if anything is wrong.

The credentials are those of the environment, or of ~/.aws; nothing else of the one who runs it is used.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CONSENT, CONSENTED = "I_PAY_FOR_THIS", "yes"
# Taken before the suite's isolation takes them away.
_CREDENTIALS = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
_HOME = Path.home()
# Plain Ubuntu: its disk may be small. Two hours at most, whatever becomes of this laptop; AWS's own deadline,
# which `up` arms before it enters the machine, is the first thing that the story looks at.
_CONFIG = """\
name: {name}
region: {region}
instance_types: [{type}]
image: {{family: {family}}}
disk: {{size_gib: {disk}}}
limits: {{max_hours: 2h}}
"""


@dataclass(frozen=True)
class Account:
    """Where the story is told: on an embedded cloud, or on AWS."""

    real: bool
    type: str
    bigger: str
    name: str = field(default_factory=lambda: f"story-{secrets.token_hex(3)}")

    @property
    def config(self) -> str:
        """Lines of its config.yaml, beside those of tests/user.py."""
        if not self.real:
            return f"name: {self.name}\n"
        plain = self.type.startswith("t")
        return _CONFIG.format(
            name=self.name,
            region=_CREDENTIALS.get("AWS_REGION") or _CREDENTIALS.get("AWS_DEFAULT_REGION") or "us-east-1",
            type=self.type,
            family="ubuntu" if plain else "deep-learning",
            disk=30 if plain else 100,
        )

    def environment(self, home: Path) -> dict[str, str]:
        if not self.real:
            return {"GPU_BOX_HOME": str(home)}
        (home / ".aws").symlink_to(_HOME / ".aws")
        return {**_CREDENTIALS, "HOME": str(home)}


def account_of(config: pytest.Config) -> Account:
    """Without this module as a plugin (`-p tests.account`) there are no options: an embedded cloud."""
    real = config.getoption("--endpoint", default="embedded") == "aws"
    chosen = config.getoption("--type", default="") or ("t3.large" if real else "g4dn.xlarge")
    family, _, size = chosen.partition(".")
    return Account(real=real, type=chosen, bigger=f"{family}.{'2xlarge' if size == 'xlarge' else 'xlarge'}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--endpoint", choices=("embedded", "aws"), default="embedded", help="where the story is told"
    )
    parser.addoption("--type", default="", help="instance type of the story")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--endpoint") == "aws" and os.environ.get(CONSENT) != CONSENTED:
        raise pytest.UsageError(
            "this makes a box in your AWS account, and you pay for it (under a dollar): "
            f"{CONSENT}={CONSENTED} in the environment says that you want it"
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == "cost":
                        terminalreporter.write_line(value)
