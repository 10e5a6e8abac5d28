"""A few tasks for people to read. Called at the end of `run --until` and of `debug`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from curator_executor.sinks.formatting import count_of, one_line

SHOWN_TASKS = 3
SHOWN_ROWS = 3
SHOWN_CHARACTERS = 160


def print_samples(console: Console, tasks: Sequence[Any], stage_name: str) -> None:
    """Print the first tasks that a stage gave, and how many there are.

    Args:
        console: where to.
        tasks: its outputs.
        stage_name: the stage.
    """
    console.print()
    head = Text().append(one_line(stage_name), style="bold")
    head.append(f" gave {count_of(len(tasks), 'task')}")
    if len(tasks) > SHOWN_TASKS:
        head.append(f"; the first {SHOWN_TASKS}:", style="dim")
    console.print(head)
    for task in tasks[:SHOWN_TASKS]:
        _print_task(console, task)


def _print_task(console: Console, task: Any) -> None:
    kind = type(task).__name__
    line = Text(f"{kind} {getattr(task, 'task_id', '')}".rstrip())
    items = getattr(task, "num_items", None)
    if items is not None:
        line.append(f", {count_of(items, 'item')}", style="dim")
    console.print(line)
    data = getattr(task, "data", task)
    rows = _rows(data)
    if rows is None:
        console.print(_indented("", "", data))
        return
    for number, row in enumerate(rows):
        for position, (name, value) in enumerate(row.items()):
            console.print(_indented("  " if position else "- ", f"{name}: ", value))
        if not row:
            console.print(Text(f"  row {number} has no columns", "dim"))


def _indented(mark: str, name: str, value: Any) -> Text:
    shown = value if isinstance(value, str) else repr(value)
    text = Text(f"  {mark}").append(one_line(name, 60) + (" " if name else ""), style="cyan")
    text.append(one_line(shown, SHOWN_CHARACTERS))
    return text


def _rows(data: Any) -> list[dict[str, Any]] | None:
    """The first rows of a table or frame, or None for anything else."""
    if hasattr(data, "to_pylist") and hasattr(data, "column_names"):
        first: list[dict[str, Any]] = data.slice(0, SHOWN_ROWS).to_pylist()
        return first
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        records = data.iloc[:SHOWN_ROWS].to_dict(orient="records")
        return [{str(key): value for key, value in record.items()} for record in records]
    return None
