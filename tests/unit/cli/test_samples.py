"""A few outputs, readable."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

from curator_executor import DocumentBatch
from curator_executor.cli.samples import print_samples

ROWS = {"id": [1, 2, 3, 4], "text": ["a\nb", "x" * 300, "c", "d"]}


def shown(tasks: list[object]) -> list[str]:
    out = io.StringIO()
    print_samples(Console(file=out, width=200), tasks, "read")
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("table", [pa.table(ROWS), pd.DataFrame(ROWS)])
def test_table_shows_its_first_rows_by_column(table: object) -> None:
    batch = DocumentBatch("d", table)
    batch._set_task_id("0", 3)
    assert shown([batch]) == [
        "",
        "read gave 1 task",
        "DocumentBatch 0_3, 4 items",
        "  - id: 1",
        "    text: a b",
        "  - id: 2",
        f"    text: {'x' * 159}…",
        "  - id: 3",
        "    text: c",
    ]


def test_many_tasks_are_counted_and_the_first_shown() -> None:
    batches: list[object] = [DocumentBatch("d", pa.table({"n": [n]})) for n in range(50)]
    lines = shown(batches)
    assert lines[1] == "read gave 50 tasks; the first 3:"
    assert [line for line in lines if "n:" in line] == ["  - n: 0", "  - n: 1", "  - n: 2"]


def test_no_task_is_said() -> None:
    assert shown([]) == ["", "read gave 0 tasks"]
