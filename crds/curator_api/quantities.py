"""Kubernetes quantities: "8Gi" to bytes, "500m" to millicores, and back.

Called by the models (to refuse a bad one), by the executor (bytes for Ray) and by whatever
writes pod resources.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]{1,2})|([A-Za-z]*))")
# Kubernetes stops at 2^63 - 1.
_MOST = 2**63 - 1
# No worker runs in less; smaller is a forgotten unit (`memory: 4`) or the milli of `500m`.
LEAST_MEMORY_BYTES = 2**20
# No device holds more; and the API server, which counts in 63 bits, judges the same.
MOST_MEMORY_BYTES = 2**50
_LONGEST = 64
# What the API server compares a quantity with, before its rules look at the number.
MEMORY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$"
LONGEST_MEMORY = 32


class QuantityError(ValueError):
    """A text that is no quantity, or none that makes sense here."""


def parse_quantity(value: int | str) -> Decimal:
    """The number that a quantity stands for: `"1.5Gi"` is 1610612736, `"500m"` is 0.5.

    Raises:
        QuantityError: no quantity, negative, or above 2^63 - 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise QuantityError(f"wanted a quantity such as 8Gi or 500m, got {value!r}")
    text = str(value)
    matched = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if matched is None:
        raise QuantityError(f'wanted a quantity such as 8Gi or 500m, got "{text[:_LONGEST]}"')
    number, exponent, suffix = matched.groups()
    if exponent is not None:
        amount = Decimal(number) * Decimal(10) ** int(exponent[1:])
    elif suffix in _BINARY:
        amount = Decimal(number) * Decimal(1024) ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        amount = Decimal(number).scaleb(_DECIMAL[suffix])
    else:
        raise QuantityError(f'"{text}" ends in an unknown unit "{suffix}"{_unit_hint(suffix)}')
    if amount > _MOST:
        raise QuantityError(f'"{text}" is more than 2^63 - 1')
    return amount


def _unit_hint(suffix: str) -> str:
    # "8GB", "8gb", "8GiB", "8gi": what people write.
    letter = suffix[0].upper()
    if f"{letter}i" in _BINARY and suffix.lower() in {
        letter.lower(),
        f"{letter.lower()}b",
        f"{letter.lower()}i",
        f"{letter.lower()}ib",
    }:
        return f"; write {letter}i (1024-based)"
    return f"; units: {', '.join([*_BINARY, 'k', 'M', 'G', 'T', 'P', 'E'])}"


def parse_bytes(value: int | str) -> int:
    """Whole bytes, rounded up as Kubernetes does.

    Raises:
        QuantityError: see `parse_quantity`.
    """
    return int(parse_quantity(value).to_integral_value(ROUND_CEILING))


def parse_millicores(value: int | str) -> int:
    """Thousandths of a CPU core, rounded up: `"500m"` is 500, `2` is 2000.

    Raises:
        QuantityError: see `parse_quantity`.
    """
    return int((parse_quantity(value) * 1000).to_integral_value(ROUND_CEILING))


def format_bytes(amount: int) -> str:
    """The shortest exact quantity: 8589934592 is `8Gi`, 1500000000 is `1500M`, 1001 is `1001`.

    Raises:
        QuantityError: negative, or above 2^63 - 1.
    """
    if not 0 <= amount <= _MOST:
        raise QuantityError(f"wanted 0 to 2^63 - 1 bytes, got {amount}")
    if amount == 0:
        return "0"
    for suffix, power in reversed(_BINARY.items()):
        if amount % 1024**power == 0:
            return f"{amount // 1024**power}{suffix}"
    for suffix in ("E", "P", "T", "G", "M", "k"):
        if amount % 10 ** _DECIMAL[suffix] == 0:
            return f"{amount // 10 ** _DECIMAL[suffix]}{suffix}"
    return str(amount)


def format_millicores(amount: int) -> str:
    """500 is `500m`, 2000 is `2`.

    Raises:
        QuantityError: negative.
    """
    if amount < 0:
        raise QuantityError(f"wanted a number of millicores >= 0, got {amount}")
    return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"


def _memory(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float):
        raise PydanticCustomError(
            "quantity", "wanted a quantity of bytes such as 8Gi, got {got}", {"got": repr(value)}
        )
    try:
        amount = parse_quantity(value)  # type: ignore[arg-type]
    except QuantityError as error:
        raise PydanticCustomError("quantity", "{said}", {"said": str(error)}) from error
    if amount < LEAST_MEMORY_BYTES:
        raise PydanticCustomError(
            "quantity",
            "wanted at least 1Mi, got {got}, which is {bytes} bytes; is the unit missing or wrong?",
            {"got": f'"{value}"', "bytes": f"{amount:f}"},
        )
    if amount > MOST_MEMORY_BYTES:
        raise PydanticCustomError(
            "quantity", "wanted at most 1Pi, got {got}; is the unit wrong?", {"got": f'"{value}"'}
        )
    return value


MemoryQuantity = Annotated[
    int | Annotated[str, Field(pattern=MEMORY_PATTERN, max_length=LONGEST_MEMORY)],
    BeforeValidator(_memory),
]
"""Bytes as Kubernetes writes them: `8Gi`, `500M`, or a plain number."""
