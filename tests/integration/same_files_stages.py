"""The demo's stages, each with a place where it kills its own process once.

Named by the manifests of `test_same_files`. They do the same work as the classes above them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from curator_executor import DocumentBatch, FileGroupTask, ProcessingStage
from curator_executor.stages.dedup import FuzzyDedup, FuzzyDedupGlobal
from curator_executor.stages.filters import QualityFilter
from curator_executor.stages.writers import ParquetWriter
from tests.integration.marks import Marks, kill_this_process

DIED = "died"
# Batches that the global stage gives out before it dies.
GIVEN_OUT = 6


def has(task: DocumentBatch, victim: str) -> bool:
    """Whether a batch holds a document."""
    return victim in task.to_pyarrow().column("id").to_pylist()


def die_once(marks: str, text: str = "") -> None:
    """Kill this process if none was killed yet; leaves a mark that tells of it."""
    if Marks(marks).first(f"{DIED}-claimed"):
        Marks(marks).set(DIED, text)
        kill_this_process()


@dataclass(eq=False, repr=False)
class DyingQuality(QualityFilter):
    """Dies when it has filtered the batch that holds `victim`."""

    marks: str = ""
    victim: str = ""

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        result = super().process(task)
        if has(task, self.victim):
            die_once(self.marks)
        return result


@dataclass(eq=False, repr=False)
class DyingDedupGlobal(FuzzyDedupGlobal):
    """Dies at `phase`: `before storing` or `after storing` the victim's batch, or in `finish`."""

    marks: str = ""
    victim: str = ""
    phase: str = ""

    def process(self, task: DocumentBatch) -> None:
        is_victim = has(task, self.victim)
        if is_victim and self.phase == "before storing":
            die_once(self.marks)
        super().process(task)
        if is_victim and self.phase == "after storing":
            die_once(self.marks)

    def finish(self) -> Iterator[DocumentBatch]:
        for number, task in enumerate(super().finish()):
            if number == GIVEN_OUT and self.phase == "finish":
                die_once(self.marks)
            yield task


@dataclass(eq=False, repr=False)
class DyingDedup(FuzzyDedup):
    """The demo's deduplication with `DyingDedupGlobal`."""

    marks: str = ""
    victim: str = ""
    phase: str = ""

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        first, last = super().decompose()
        names = ("id_field", "text_field", "threshold", "bands", "rows")
        own = {name: getattr(last, name) for name in names}
        dying = {name: getattr(self, name) for name in ("marks", "victim", "phase")}
        return [first, DyingDedupGlobal(**own, **dying)]


@dataclass(eq=False, repr=False)
class DyingWriter(ParquetWriter):
    """Dies once a file is written under its temporary name, before it is renamed."""

    marks: str = ""
    victim: str = ""

    def process(self, task: DocumentBatch) -> FileGroupTask:
        if not has(task, self.victim):
            return super().process(task)
        rename = os.replace

        def dies(source: Any, target: Any) -> None:
            die_once(self.marks, f"{Path(source).name} {Path(source).stat().st_size}")
            rename(source, target)

        with mock.patch("os.replace", dies):
            return super().process(task)
