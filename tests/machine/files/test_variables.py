"""`env` and `env_file`: what a name's value is, and what is refused before anything bills."""

from __future__ import annotations

import shlex
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_box.config.model import Config, Ssh
from gpu_box.errors import InputError
from gpu_box.machine.files import variables

# As in python-dotenv's documentation and tests (theskumar/python-dotenv, tests/test_parser.py), without
# ${...}, which it expands, and lines without a value.
FILE = r"""
# a comment
A=one
export B=two words # and a comment
C='literal \n $HOME # no comment'
D="two\nlines \"quoted\" \\ end"
E=
F = spaced
G="over
two lines"
H=a#b
I='it\'s'
J=ünï
  K=indented
L="" # nothing
M=trailing spaces   
N=x=y
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "key").write_text("a private key\n")
    (tmp_path / ".env").write_text(FILE)
    return Config(env_file=tmp_path / ".env", ssh=Ssh(key=tmp_path / "key"))


def with_file(config: Config, text: str | bytes) -> Config:
    assert config.env_file
    config.env_file.write_bytes(text.encode() if isinstance(text, str) else text)
    return config


def with_env(config: Config, *env: str) -> Config:
    return Config(env=env, env_file=config.env_file, ssh=config.ssh)


def test_a_file_is_read_as_python_dotenv_reads_it(config: Config) -> None:
    dotenv = pytest.importorskip("dotenv", reason="needs python-dotenv")
    theirs = dotenv.dotenv_values(stream=StringIO(FILE), interpolate=False)
    assert variables.read(config).values == dict(sorted(theirs.items()))


WORDS = st.text(st.sampled_from("aZ0 \t\"'\\#=$nü\n"), max_size=12)


@given(st.lists(WORDS, max_size=4))
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_a_file_is_read_as_dotenv_reads_it_or_refused(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    dotenv = pytest.importorskip("dotenv", reason="needs python-dotenv")
    path = tmp_path_factory.getbasetemp() / "any.env"
    text = "".join(f"K{at}={word}\n" for at, word in enumerate(words))
    path.write_text(text)
    try:
        ours = variables.read(Config(env_file=path)).values
    except InputError as error:
        assert error.exit_code == 2 and str(path) in str(error)
        return
    theirs = dotenv.dotenv_values(stream=StringIO(text), interpolate=False)
    assert ours == {name: value or "" for name, value in sorted(theirs.items())}


def test_the_config_s_own_value_wins_over_the_shell_s_and_that_over_the_file_s(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", "of the shell")
    monkeypatch.setenv("B", "of the shell")
    monkeypatch.setenv("C", "of the shell")
    found = variables.read(with_env(config, "A=of the config", "B", "D"))
    assert [found.values[name] for name in "ABC"] == [
        "of the config",
        "of the shell",
        r"literal \n $HOME # no comment",
    ]
    assert found.missing == ()


def test_a_name_without_a_value_is_refused_and_the_box_keeps_what_it_has(config: Config) -> None:
    asked = with_env(config, "NOWHERE_SET", "A")
    with pytest.raises(InputError, match="no value for NOWHERE_SET") as caught:
        variables.require(asked)
    assert caught.value.exit_code == 2
    assert variables.content(asked) is None
    assert "NOWHERE_SET" in variables.names(asked)


@pytest.mark.parametrize(
    "text, what",
    [
        ("A=1\nno equals s3cr3t\n", "line 2 is not NAME=value"),
        ("A='s3cr3t\n", "line 1 is not NAME=value"),
        ("1A=s3cr3t\n", "line 1 is not NAME=value"),
        (b"A=s3cr3t\xff\n", "is not UTF-8 text"),
        ("PATH=s3cr3t\n", "PATH is set by the box itself"),
        ("AWS_SECRET_ACCESS_KEY=s3cr3t\n", "must not have any"),
        ("A=s3cr3t\0\n", "the value of A has a NUL"),
        (f"A={'s3cr3t' * 30_000}\n", "over 128 KiB"),
        ("".join(f"A{n}={'s3cr3t' * 10_000}\n" for n in range(10)), "over 512 KiB in total"),
        ("#" * (1 << 20) + "\n", "is over 1 MiB"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_line_without_a_value(
    config: Config, text: str | bytes, what: str
) -> None:
    with pytest.raises(InputError) as caught:
        variables.read(with_file(config, text))
    assert what in str(caught.value) and "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_a_file_that_is_not_there_is_refused_and_status_still_tells_the_names(config: Config) -> None:
    assert config.env_file
    config.env_file.unlink()
    asked = with_env(config, "MODE=debug")
    with pytest.raises(InputError, match="cannot be read"):
        variables.require(asked)
    assert variables.names(asked) == ("MODE",)


def test_the_digest_is_no_plain_hash_of_the_values(config: Config, tmp_path: Path) -> None:
    """Who sees the command line cannot try short values: it depends on the private key."""
    first = variables.digest(variables.content(config))
    (tmp_path / "key").write_text("another private key\n")
    assert first and first != variables.digest(variables.content(config))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_every_value_survives_the_shell_s_quoting(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    key = tmp_path_factory.getbasetemp() / "quoting.key"
    key.write_text("key")
    text = variables.content(Config(env=(f"V={value}",), ssh=Ssh(key=key)))
    assert text and shlex.split(text.decode(), comments=True) == ["export", f"V={value}"]


def test_no_value_is_in_a_repr(config: Config) -> None:
    asked = with_env(config, "TOKEN=s3cr3t")
    assert "s3cr3t" not in repr(asked) and "s3cr3t" not in repr(variables.read(asked))
