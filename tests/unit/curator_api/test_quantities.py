"""Quantities: what Kubernetes takes, and what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_api.quantities import (
    QuantityError,
    format_bytes,
    format_millicores,
    parse_bytes,
    parse_millicores,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("8Gi", 8 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("0.1Gi", 107374183),
        ("512Ki", 512 * 1024),
        ("1Ti", 2**40),
        ("1k", 1000),
        ("500M", 500_000_000),
        ("2G", 2_000_000_000),
        ("1e3", 1000),
        ("1E3", 1000),
        ("12e6", 12_000_000),
        ("1E", 10**18),
        ("500m", 1),
        (".5Mi", 2**19),
        ("0", 0),
        (4096, 4096),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_bytes_are_counted_as_kubernetes_counts_them(text: int | str, wanted: int) -> None:
    assert parse_bytes(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"), [("500m", 500), (2, 2000), ("1.5", 1500), ("0.1m", 1), ("1k", 1_000_000)]
)
def test_cores_are_counted_in_thousandths_rounded_up(text: int | str, wanted: int) -> None:
    assert parse_millicores(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("8GB", 'unknown unit "GB"; write Gi'),
        ("8gb", "write Gi"),
        ("8GiB", "write Gi"),
        ("8K", "write Ki"),
        ("8x", "units: Ki, Mi"),
        ("", "wanted a quantity"),
        (" 8Gi", "wanted a quantity"),
        ("8 Gi", "wanted a quantity"),
        ("-1", "wanted a quantity"),
        ("1,5", "wanted a quantity"),
        ("1.2.3", "wanted a quantity"),
        ("٣Gi", "wanted a quantity"),
        ("1" * 65, "wanted a quantity"),
        ("8Ei", "more than 2^63"),
        ("1e99", "more than 2^63"),
        (True, "got True"),
        (1.5, "got 1.5"),
        (None, "got None"),
    ],
)
def test_what_is_no_quantity_is_refused(text: object, words: str) -> None:
    with pytest.raises(QuantityError) as raised:
        parse_bytes(text)  # type: ignore[arg-type]
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("amount", "wanted"),
    [(0, "0"), (1, "1"), (2**33, "8Gi"), (1536 * 2**20, "1536Mi"), (1_500_000_000, "1500M")],
)
def test_bytes_are_written_short_and_exact(amount: int, wanted: str) -> None:
    assert format_bytes(amount) == wanted


@given(st.integers(0, 2**63 - 1))
def test_written_bytes_read_back_the_same(amount: int) -> None:
    assert parse_bytes(format_bytes(amount)) == amount


@given(st.integers(0, 10**9))
def test_written_millicores_read_back_the_same(amount: int) -> None:
    assert parse_millicores(format_millicores(amount)) == amount


def test_a_negative_amount_is_not_written() -> None:
    with pytest.raises(QuantityError):
        format_bytes(-1)
    with pytest.raises(QuantityError):
        format_millicores(-1)
