"""The walk's own cloud, in the process of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .stage import Stage


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    before = dict(os.environ)
    one = Stage(tmp_path_factory.mktemp("walk"))
    try:
        yield one
        one.close()
    finally:  # it sets more than there was: the next file's tests have no account
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def stage(one_stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """Its environment is every test's own."""
    for name, value in one_stage.exports(tmp_path).items():
        monkeypatch.setenv(name, value)
    return one_stage
