"""A submission has each picture's own number, and no answer surer than the held-out pictures allow."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from vgg16.kaggle import BadSubmission
from vgg16.kaggle.submission import check_submission, choose_clip, identity, log_loss, write_submission


def test_the_id_is_the_file_s_number_never_its_position(tmp_path: Path) -> None:
    names = ["unknown/10.jpg", "unknown/2.jpg", "unknown/1.jpg"]
    write_submission(tmp_path / "s.csv", names, np.array([0.9, 0.2, 0.5]), 0.02)
    assert (tmp_path / "s.csv").read_text() == "id,label\n1,0.500000\n2,0.200000\n10,0.900000\n"


def test_probabilities_are_clipped(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", ["1.jpg", "2.jpg"], np.array([0.0, 1.0]), 0.02)
    assert (tmp_path / "s.csv").read_text() == "id,label\n1,0.020000\n2,0.980000\n"


@pytest.mark.parametrize("name", ["unknown/cat.jpg", "unknown/1a.jpg"])
def test_a_name_without_a_number_is_refused(name: str) -> None:
    with pytest.raises(BadSubmission, match=name):
        identity(name)


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSubmission, match=r"a/1.jpg and b/1.jpg have the same id, 1"):
        write_submission(tmp_path / "s.csv", ["a/1.jpg", "b/1.jpg"], np.array([0.1, 0.2]), 0.02)
    assert not (tmp_path / "s.csv").exists()


def test_log_loss_is_its_definition() -> None:
    probabilities, labels = np.array([0.9, 0.2, 0.6]), np.array([1, 0, 0])
    assert log_loss(probabilities, labels, 0) == pytest.approx(
        -(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3
    )


def test_the_lesson_s_clip_costs_0_0513_when_every_answer_is_right() -> None:
    probabilities, labels = np.array([1.0, 0.0] * 1000), np.array([1, 0] * 1000)
    clip = choose_clip(probabilities, labels)
    assert clip.expected_at_lesson == pytest.approx(0.0513, abs=1e-4)
    # All right so far, and yet no more is promised than 2,000 answers can show.
    assert clip.at == pytest.approx(1 / 2002)
    assert clip.expected == pytest.approx(0.0005, abs=1e-5)


def test_a_network_that_is_sure_and_wrong_gets_a_wider_clip() -> None:
    labels = np.array([1, 0] * 1000)
    probabilities = labels.astype(float)
    probabilities[:40] = 1 - probabilities[:40]  # 2 % wrong, and certain of it
    clip = choose_clip(probabilities, labels)
    assert clip.at == 0.02
    assert clip.expected < clip.expected_at_lesson < log_loss(probabilities, labels, 1e-15)


def test_a_fixed_clip_is_taken_as_it_is() -> None:
    assert choose_clip(np.array([0.9]), np.array([1]), 0.01).at == 0.01


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line is not id,label"),
        ("label,id\n", "first line is not id,label"),
        ("id,label\n1,0.5\n1,0.5\n", "an id occurs twice"),
        ("id,label\n1,1.5\n", "line 2: 1.5 is no probability"),
        ("id,label\n1,nan\n", "line 2: nan is no probability"),
        ("id,label\n1\n", "line 2 is not a number and a probability"),
        ("id,label\n2,0.5\n", "1 of 1 ids are missing, as 1"),
        ("id,label\n1,0.5\n2,0.5\n", "1 ids are not asked for, as 2"),
    ],
)
def test_what_kaggle_would_refuse_is_refused_here(text: str, message: str, tmp_path: Path) -> None:
    sample, path = tmp_path / "sample.csv", tmp_path / "mine.csv"
    sample.write_text("id,label\n1,0.5\n")
    path.write_text(text)
    with pytest.raises(BadSubmission, match=message):
        check_submission(path, sample)


def test_a_good_submission_passes(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("id,label\n1,0.5\n2,0.5\n")
    write_submission(tmp_path / "mine.csv", ["2.jpg", "1.jpg"], np.array([0.1, 0.7]), 0.01)
    assert check_submission(tmp_path / "mine.csv", tmp_path / "sample.csv") == 2
