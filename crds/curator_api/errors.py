"""`Problem` and `ManifestError`: everything that is wrong with a manifest, said at once.

Raised by `load` (the file against the models) and by the executor's `compile` (the manifest
against the user's code); shown by `curator run` and `curator validate`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Longer values would hide the sentence around them.
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the field, in the names of the file: `spec.stages[2].batchSize`; "" for the file.
        message: what was wanted and what was got.
        hint: what to do, e.g. the nearest right name; "" if there is nothing to add.
        line: line of the file, from 1; None where there is no file.
        label: name of the stage if `path` is a stage.
    """

    path: str
    message: str
    hint: str = ""
    line: int | None = None
    label: str = ""

    def __str__(self) -> str:
        where = f'{self.path} "{self.label}"' if self.label else self.path
        said = f"{where}: {self.message}" if where else self.message
        return f"{said}. {self.hint}" if self.hint else said


class ManifestError(ValueError):
    """A manifest that cannot be run.

    Attributes:
        problems: what is wrong, in the order of the file; at least one.
        source: the file, or "" if the manifest came from memory.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = list(problems)
        self.source = source
        super().__init__(self._text())

    def _text(self) -> str:
        if not self.source:
            return "\n".join(str(problem) for problem in self.problems)
        return "\n".join(
            f"{self.source}:{problem.line}: {problem}"
            if problem.line is not None
            else f"{self.source}: {problem}"
            for problem in self.problems
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems, self.source)


def join_path(parts: Iterable[str | int]) -> str:
    """`("spec", "stages", 2, "batchSize")` as `spec.stages[2].batchSize`."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that `name` most likely means, or ""."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, 1)
    return by_lower[close[0]] if close else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`Did you mean X?`, or "" if no known name is near."""
    near = nearest(name, known)
    return f"Did you mean {near}?" if near else ""


def shown(value: object) -> str:
    """A value of the file, as the file would have it, short."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
