"""Durations, money and sizes as people write and read them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_box.units import format_bytes, format_duration, format_money, parse_duration, parse_money

WHOLE_SECONDS = st.integers(0, 10_000 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("30m", 1_800),
        ("30 min", 1_800),
        ("2h", 7_200),
        ("1h30m", 5_400),
        ("1h 30m", 5_400),
        ("12H", 43_200),
        ("1d", 86_400),
        ("1d2h3m4s", 93_784),
        ("0m", 0),
        ("90m", 5_400),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("30", "'30' is not a duration such as 30m, 2h or 1h30m; 30m or 30h?"),
        ("", "'' is not a duration such as 30m, 2h or 1h30m"),
        (" ", "' ' is not a duration such as 30m, 2h or 1h30m"),
        ("h", "'h' is not a duration such as 30m, 2h or 1h30m"),
        ("-1h", "'-1h' is not a duration such as 30m, 2h or 1h30m"),
        ("1.5h", "'1.5h' is not a duration such as 30m, 2h or 1h30m"),
        ("30m1h", "'30m1h' is not a duration such as 30m, 2h or 1h30m"),
        ("two hours", "'two hours' is not a duration such as 30m, 2h or 1h30m"),
        ("1w", "'1w' is not a duration such as 30m, 2h or 1h30m"),
        ("٣h", "'٣h' is not a duration such as 30m, 2h or 1h30m"),
        ("9999999999d", "'9999999999d' is too long"),
        ("1" * 5_000 + "d", f"{'1' * 60!r} is too long"),
        ("0", "'0' is not a duration such as 30m, 2h or 1h30m"),
        ("030", "'030' is not a duration such as 30m, 2h or 1h30m; 30m or 30h?"),
    ],
)
def test_what_is_no_duration_says_what_is(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (1_080, "18 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (7_500, "2 h 05 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(WHOLE_SECONDS)
def test_a_shown_duration_is_read_back_within_its_smaller_unit(value: timedelta) -> None:
    shown = parse_duration(format_duration(value))
    unit = timedelta(hours=1) if value >= timedelta(days=1) else timedelta(minutes=1)
    assert timedelta(0) <= value - shown < unit
    assert format_duration(shown) == format_duration(value)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError as error:
        assert "duration" in str(error) or "too long" in str(error)


@pytest.mark.parametrize(
    ("text", "dollars"),
    [("50", "50"), ("$50", "50"), ("$ 50", "50"), (" 49.99 ", "49.99"), ("0.005", "0.005")],
)
def test_money_is_read_as_people_write_it(text: str, dollars: str) -> None:
    assert parse_money(text) == Decimal(dollars)


@pytest.mark.parametrize(
    "text", ["", "$", "fifty", "-5", "1e3", "1_000", "1,000", "NaN", "inf", "5€", "٥", "1."]
)
def test_what_is_no_money_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of US dollars such as 50 or 49.99"):
        parse_money(text)


@pytest.mark.parametrize("text", ["0", "0.00", "$0"])
def test_nothing_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount above zero"):
        parse_money(text)


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        ("0", "$0.00"),
        ("0.526", "$0.526"),
        ("0.5", "$0.50"),
        ("0.8048", "$0.805"),
        ("0.0004", "$0.00"),
        ("0.9996", "$1.00"),
        ("1.006", "$1.01"),
        ("12.345", "$12.35"),
        ("1234567.8", "$1,234,567.80"),
    ],
)
def test_money_is_shown_to_the_cent_and_below_a_dollar_to_its_tenth(dollars: str, text: str) -> None:
    assert format_money(Decimal(dollars)) == text


@given(st.decimals("0.01", "999.99", places=2))
def test_shown_money_is_read_back(dollars: Decimal) -> None:
    assert parse_money(format_money(dollars)) == dollars


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (831, "831 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (20_300_000, "20.3 MB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_200_000_000_000_000, "7200.0 TB"),
    ],
)
def test_sizes_are_shown_in_powers_of_a_thousand(count: int, text: str) -> None:
    assert format_bytes(count) == text
