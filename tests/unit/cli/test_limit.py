"""`--limit N` reads N documents and no more."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from curator_executor import DocumentBatch, EmptyTask, FileGroupTask, ProcessingStage
from curator_executor.cli.limit import limit_stages, lists_files
from tests.unit.cli.conftest import Curator, FakeRun


class Lister(ProcessingStage[EmptyTask, FileGroupTask]):
    name = "lister"

    def process(self, task: EmptyTask) -> Any:  # the class says what it emits
        return [FileGroupTask("d", data=[f"{i}"]) for i in range(10)]


class Reader(ProcessingStage[FileGroupTask, DocumentBatch]):
    name = "reader"

    def __init__(self, frame: bool = False) -> None:
        self.frame = frame
        self.opened: list[int] = []

    def process(self, task: FileGroupTask) -> Iterator[DocumentBatch]:
        for number in range(3):
            self.opened.append(number)
            rows = {"n": list(range(4))}
            yield DocumentBatch("d", pd.DataFrame(rows) if self.frame else pa.table(rows))

    def num_workers_per_node(self) -> float:
        return 4

    def xenna_stage_spec(self) -> dict[str, Any]:
        return {"max_workers": 8, "num_run_attempts_python": 2}


class BatchReader(Reader):
    def process_batch(self, tasks: list[Any]) -> list[Any]:
        return [batch for task in tasks for batch in self.process(task)]


class Last(ProcessingStage[DocumentBatch, DocumentBatch]):
    name = "last"

    def process(self, task: DocumentBatch) -> DocumentBatch:
        return task


FILE = FileGroupTask("d", data=["a"])


def limited(*stages: Any, limit: int) -> list[Any]:
    return limit_stages(stages, limit)


def sizes(batches: Any) -> list[int]:
    return [batch.num_items for batch in batches]


def test_stages_that_list_files_are_told_from_readers() -> None:
    assert [lists_files(stage) for stage in (Lister(), Reader(), Last())] == [True, False, False]


def test_files_and_documents_are_limited_and_the_rest_is_not() -> None:
    last = Last()
    lister, reader, same = limited(Lister(), Reader(), last, limit=6)
    assert len(lister.process(EmptyTask())) == 6
    assert sizes(reader.process(FILE)) == [4, 2]
    assert same is last


@pytest.mark.parametrize("frame", [False, True])
def test_table_that_would_go_over_is_cut(frame: bool) -> None:
    [reader] = limited(Reader(frame), limit=5)
    batches = list(reader.process(FILE))
    assert [batch.to_pandas()["n"].tolist() for batch in batches] == [[0, 1, 2, 3], [0]]


def test_limit_holds_over_several_files() -> None:
    [reader] = limit_stages([Reader()], 14)
    assert sizes(reader.process(FILE)) == [4, 4, 4]
    assert sizes(reader.process(FILE)) == [2]
    assert reader.process(FILE) is None


def test_reader_stops_as_soon_as_the_limit_is_reached() -> None:
    [reader] = limited(Reader(), limit=4)
    assert sizes(reader.process(FILE)) == [4]
    assert reader.opened == [0]


def test_reader_of_whole_batches_is_limited_too() -> None:
    [reader] = limit_stages([BatchReader()], 14)
    assert sizes(reader.process_batch([FILE, FILE])) == [4, 4, 4, 2]
    assert reader.process_batch([FILE]) == []


def test_original_stage_stays_as_it_was() -> None:
    original = Reader()
    limit_stages([original], 1)
    assert sizes(original.process(FILE)) == [4, 4, 4]


def test_count_is_in_one_worker() -> None:
    [reader] = limit_stages([Reader()], 6)
    assert reader.num_workers() == 1
    assert reader.num_workers_per_node() is None
    assert reader.xenna_stage_spec() == {"num_run_attempts_python": 2}


def test_limited_stage_travels_to_a_worker() -> None:
    [reader] = limit_stages([Reader()], 6)
    there = pickle.loads(pickle.dumps(reader))
    assert sizes(there.process(FILE)) == [4, 2]
    assert there.opened == [0, 1]


def test_option_reaches_the_stages(folder: Path, curator: Curator) -> None:
    run = FakeRun()
    assert curator("run", "pipeline.yaml", "--limit", "6", run=run) == 0
    lister, reader, halver = run.calls[0]["stages"]
    assert len(lister.process(None)) == 6
    assert [task.data for task in reader.process(None)] == [[0, 1, 2, 3], [4, 5]]
    numbers = importlib.import_module("cli_test_stages").Numbers
    assert halver.process(numbers("d", [8] * 10)).num_items == 10
