"""Figures keep their width and say what they mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_executor.sinks.formatting import (
    count_of,
    format_bytes,
    format_count,
    format_duration,
    format_percent,
    format_rate,
    one_line,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (99_999, "100k"),
        (999_949, "1.00M"),
        (4_561_234, "4.56M"),
        (2_500_000_000, "2.50G"),
    ],
)
def test_a_count_has_three_digits_and_a_letter(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.0, "0"), (0.0004, "<0.001"), (0.0167, "0.017"), (3.421, "3.42"), (999.9, "1,000")],
)
def test_a_slow_rate_is_not_rounded_to_nothing(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0002, "<1ms"),
        (0.42, "420ms"),
        (0.9999, "1.0s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (125.0, "2m05s"),
        (3_725.0, "1h02m"),
        (276_480.0, "3d04h"),
        (-5.0, "-5.0s"),
    ],
)
def test_a_duration_uses_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("percent", "text"), [(0, "0%"), (0.2, "<1%"), (42.4, "42%"), (99.9, "99%"), (100, "100%")]
)
def test_none_and_all_are_said_only_where_true(percent: float, text: str) -> None:
    assert format_percent(percent) == text


def test_bytes_have_binary_units() -> None:
    assert [format_bytes(n) for n in (0, 999, 1536 * 1024, 2**50)] == [
        "0 B",
        "999 B",
        "1.50 MiB",
        "1.00 PiB",
    ]


@given(st.floats(min_value=0, max_value=9e14))
def test_every_figure_fits_its_column(value: float) -> None:
    assert len(format_count(value)) <= 6
    assert len(format_rate(value)) <= 6
    assert len(format_percent(math.fmod(value, 101))) <= 4


@given(st.floats(min_value=0, max_value=999 * 86_400))
def test_every_duration_fits_its_column(seconds: float) -> None:
    assert len(format_duration(seconds)) <= 7


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_a_foreign_text_is_one_printable_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) <= limit


def test_an_escape_sequence_does_not_reach_the_terminal() -> None:
    assert one_line("red \x1b[31malert\nnext") == "red ?[31malert next"


def test_one_is_singular() -> None:
    assert [count_of(n, "batch", "batches") for n in (1, 2)] == ["1 batch", "2 batches"]
