"""Attributes of many tasks as columns, and tasks made out of columns again. Called by `codec`.

What the executor keeps for a task (`KEPT`) is no column: it travels as the chunk's `Origin`.
"""

from __future__ import annotations

import functools
import inspect
import keyword
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import is_, itemgetter
from typing import Any

from curator_executor.api.tasks import Task

# Written by the executor, and made anew on the other side.
KEPT = frozenset(
    {
        "task_id",
        "_lineage_key",
        "_stage_perf",
        "_perf_packed",
        "_perf_prior",
        "_perf_metrics",
        "_perf_names",
        "_origin",
        "_row",
    }
)
# Attributes of its own that a class may have, and no more, to be worth a layout; and layouts known.
MOST_LAYOUTS = 4096


def _is_plain(kind: type) -> bool:
    """Whether an instance is its `__dict__` and nothing else."""
    return (
        all(
            getattr(kind, name, None) is getattr(object, name, None)
            for name in ("__reduce_ex__", "__reduce__")
        )
        and getattr(kind, "__getstate__", None) in _STATES
        and not hasattr(kind, "__setstate__")
        and not any(vars(base).get("__slots__") for base in kind.__mro__)
    )


_STATES = (getattr(object, "__getstate__", None), Task.__getstate__)


@functools.lru_cache(maxsize=1024)
def is_plain(kind: Any) -> bool:
    """Whether an instance is its `__dict__` and nothing else; remembered."""
    return _is_plain(kind)


@functools.lru_cache(maxsize=1024)
def is_tracked(kind: Any) -> bool:
    """Whether a plain task's id, key and figures may come from an origin.

    Not where a class has a default of its own for one of them, as `EmptyTask` has.
    """
    return (
        issubclass(kind, Task)
        and is_plain(kind)
        and all(
            inspect.getattr_static(kind, name) is vars(Task)[name]
            for name in ("task_id", "_lineage_key", "_stage_perf")
        )
    )


Reader = Callable[[dict[str, Any]], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read the attributes of tasks of one class that have the same ones.

    Attributes:
        keys: the attributes that are columns.
        every: those, then others that are in `KEPT`.
        width: how many these are.
        read: the values of all, out of a task's `__dict__`; raises KeyError if one is missing.
    """

    keys: tuple[str, ...]
    every: tuple[str, ...]
    width: int
    read: Reader


# Fits nothing.
NO_LAYOUT = Layout((), (), -1, tuple)
_LAYOUTS: dict[tuple[str, ...], Layout | None] = {}


def layout_of(state: dict[str, Any]) -> Layout | None:
    """The layout of a task with these attributes; None if it has too few to be read so."""
    shape = tuple(state)
    try:
        return _LAYOUTS[shape]
    except KeyError:
        pass
    keys = tuple(sorted(key for key in shape if key not in KEPT))
    every = (*keys, *(key for key in shape if key in KEPT))
    found = Layout(keys, every, len(every), itemgetter(*every)) if len(keys) > 1 else None
    if len(_LAYOUTS) >= MOST_LAYOUTS:
        _LAYOUTS.clear()
    _LAYOUTS[shape] = found
    return found


# Values that tasks may share, since nobody can change them.
_ALIKE = frozenset({str, int, float, bool, type(None)})


def column_of(values: tuple[Any, ...]) -> Any:
    """A column: a tuple of values, the one value that all share, or {} for an empty dict each."""
    head = values[0]
    kind = type(head)
    if kind is dict:
        empty = not any(values) and set(map(type, values)) == {dict}
        return {} if empty else values
    if kind in _ALIKE and head is values[-1] and all(map(is_, values, repeat(head))):
        return head
    return values


_FORMS: dict[type, str] = {tuple: "each", dict: "empty"}
Builder = Callable[..., list[Any]]


@functools.lru_cache(maxsize=256)
def _builder(kind: type, keys: tuple[str, ...], forms: tuple[str, ...]) -> Builder:
    """A function that makes tasks out of columns, with the names of the attributes written out.

    Written as text and compiled once, as dataclasses make theirs: a third of the time of
    `dict(zip())`.

    Args:
        kind: class of the tasks.
        keys: their attributes.
        forms: of each column: "each" has a value for each task, "same" is one for all, "empty"
            stands for a dict of its own for each.
    """
    names = [f"c{position}" for position in range(len(keys))]
    cells = {"each": "{0}[row]", "same": "{0}", "empty": "{{}}"}
    attributes = [
        (key, cells[form].format(name)) for key, form, name in zip(keys, forms, names, strict=True)
    ]
    attributes += [("_origin", "origin"), ("_row", "row")]
    if _takes_attributes(kind, keys):
        lines = [f"        task.{key} = {value}" for key, value in attributes]
    else:
        items = ", ".join(f"{key!r}: {value}" for key, value in attributes)
        lines = [f"        task.__dict__ = {{{items}}}"]
    text = "\n".join(
        [
            f"def build(tasks, origin, {', '.join(names)}):",
            "    for row, task in enumerate(tasks):",
            *lines,
            "    return tasks",
        ]
    )
    made: dict[str, Any] = {}
    exec(text, made)  # noqa: S102 - of attribute names alone, identifiers or quoted by repr
    build: Builder = made["build"]
    return build


def _takes_attributes(kind: type, keys: Sequence[str]) -> bool:
    """Whether writing attributes one by one is the same as writing them into `__dict__`."""
    return inspect.getattr_static(kind, "__setattr__") is object.__setattr__ and all(
        key.isidentifier()
        and not keyword.iskeyword(key)
        and not key.startswith("__")
        and not hasattr(inspect.getattr_static(kind, key, None), "__set__")
        for key in keys
    )


def build(
    kind: type, keys: tuple[str, ...], columns: Sequence[Any], count: int, origin: Any
) -> list[Any]:
    """Tasks out of columns, each with its row in the origin."""
    forms = tuple([_FORMS.get(type(column), "same") for column in columns])
    make: Callable[..., Any] = kind.__new__
    tasks = list(map(make, repeat(kind, count)))
    return _builder(kind, keys, forms)(tasks, origin, *columns)
