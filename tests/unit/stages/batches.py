"""Batches and files that the tests of text stages share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator_executor.api import DocumentBatch, FileGroupTask, ProcessingStage


def batch(texts: Sequence[Any], **columns: Sequence[Any]) -> DocumentBatch:
    """Documents with ids `d0`, `d1`, …"""
    table = pa.table({"id": [f"d{n}" for n in range(len(texts))], "text": texts, **columns})
    made = DocumentBatch(dataset_name="tests", data=table, _metadata={"source_files": ["f"]})
    made.task_id = "0_7"
    return made


def given(task: DocumentBatch | None) -> DocumentBatch:
    """The batch of a stage that must not have filtered it out."""
    assert task is not None
    return task


def texts_of(task: DocumentBatch | None) -> list[str]:
    """The texts of a batch; none of None."""
    return [] if task is None else task.to_pyarrow().column("text").to_pylist()


def group(*paths: Path) -> FileGroupTask:
    """A task with files, as by hand."""
    return FileGroupTask(dataset_name="tests", data=[str(path) for path in paths])


def read(stage: Any, *paths: Path) -> list[DocumentBatch]:
    """Everything that a reading stage gives for files."""
    return list(stage.process(group(*paths)))


def rows(batches: Iterable[DocumentBatch]) -> list[dict[str, Any]]:
    """The rows of batches."""
    return [row for one in batches for row in one.to_pyarrow().to_pylist()]


def lines(documents: Iterable[Any]) -> bytes:
    """JSONL."""
    return b"".join(json.dumps(d).encode() + b"\n" for d in documents)


def dropped(stage: ProcessingStage[Any, Any]) -> dict[str, int]:
    """What a stage said it dropped."""
    seen = stage._consume_observations()
    return seen.dropped if seen else {}
