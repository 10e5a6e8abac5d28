"""Check constructor arguments of stages; an error names the argument and the nearest right value.

Called by every stage's constructor, so that a misspelt manifest fails before any worker starts.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def near(value: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known value, or ""."""
    found = difflib.get_close_matches(str(value), list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def one_of(stage: str, argument: str, value: object, known: Iterable[str]) -> None:
    """Refuse a value that is not among the known ones.

    Raises:
        ValueError: it is not.
    """
    choices = list(known)
    if value not in choices:
        raise ValueError(
            f"{stage}: {argument} must be one of {', '.join(choices)}, got {value!r}"
            f"{near(value, choices)}"
        )


def whole(stage: str, argument: str, value: object, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{stage}: {argument} must be a whole number >= {least}, got {value!r}")


def share(stage: str, argument: str, value: object) -> None:
    """Refuse what is not a number from 0 to 1.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{stage}: {argument} must be a number from 0 to 1, got {value!r}")


def column_name(stage: str, argument: str, value: object) -> None:
    """Refuse what cannot be the name of a column.

    Raises:
        ValueError: it is not a string, or is empty.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{stage}: {argument} must be the name of a column, got {value!r}")


def texts(stage: str, argument: str, value: object) -> list[str]:
    """A string or several, as a list.

    Raises:
        ValueError: neither, or empty.
    """
    listed = [value] if isinstance(value, str) else value
    if (
        not isinstance(listed, (list, tuple))
        or not listed
        or not all(isinstance(item, str) and item for item in listed)
    ):
        raise ValueError(f"{stage}: {argument} must be a string or a list of them, got {value!r}")
    return list(listed)


def function(stage: str, argument: str, value: object) -> Callable[..., Any]:
    """The function itself, or the one behind `package.module:name`.

    Raises:
        ValueError: it cannot be imported, or cannot be called.
    """
    if callable(value):
        return value
    module_name, colon, name = str(value).partition(":")
    if not isinstance(value, str) or not colon or not module_name or not name:
        raise ValueError(
            f"{stage}: {argument} must be a function or 'package.module:function', got {value!r}"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(
            f"{stage}: {argument}: cannot import {module_name}: {error}. It must be installed, or "
            "be beside the manifest or in the current directory"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(
                f"{stage}: {argument}: {module_name} has no {part}{near(part, dir(found))}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(  # noqa: TRY004 - a manifest's value is wrong, not its type
            f"{stage}: {argument}: {value} is a {type(found).__name__}, wanted a function"
        )
    checked: Callable[..., Any] = found
    return checked


def known_keys(
    stage: str, argument: str, given: Mapping[str, object], known: Iterable[str]
) -> None:
    """Refuse keys that nobody reads.

    Raises:
        ValueError: an unknown key.
    """
    choices = list(known)
    for key in given:
        if key not in choices:
            raise ValueError(
                f"{stage}: {argument} has an unknown key {key!r}{near(key, choices)} "
                f"Keys: {', '.join(choices)}"
            )
