"""`make test-aws` spends money only if it is asked to."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.paths import ROOT

from ..account import CONSENT


def test_without_consent_nothing_runs_in_a_real_account() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.account",
            "--endpoint",
            "aws",
            "tests/people/test_story.py",
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != CONSENT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4  # pytest's usage error: no test was collected
    assert CONSENT in done.stderr
