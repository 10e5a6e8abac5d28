"""Tasks, their figures and what a worker needs."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pyarrow as pa
import pytest

from curator_executor.api import (
    DocumentBatch,
    EmptyTask,
    FailedTask,
    FileGroupTask,
    NoneTask,
    Pipeline,
    Resources,
    StagePerfStats,
)
from curator_executor.api.perf import ENTRY_BYTES, merge_chains, pack_entry, unpack_chain
from tests.unit.runtime.hosting import Doc, Upper, Words

# Tasks ---------------------------------------------------------------------------------------


def test_empty_task_is_the_root() -> None:
    task = EmptyTask()
    assert (task.task_id, task.num_items, task.data, task.dataset_name) == ("0", 0, None, "empty")


@pytest.mark.parametrize("kind", [EmptyTask, NoneTask, FailedTask])
def test_marker_carries_no_data(kind: Any) -> None:
    assert kind().validate()
    with pytest.raises(ValueError, match=f"{kind.__name__} carries no data"):
        kind(data=5)


def test_file_group_is_named_after_its_paths_in_any_order() -> None:
    one = FileGroupTask(dataset_name="d", data=["b", "a"])
    other = FileGroupTask(dataset_name="e", data=["a", "b"])
    assert one.get_deterministic_id() == other.get_deterministic_id()
    assert len(one.get_deterministic_id()) == 12
    assert one.num_items == 2


def test_empty_file_group_only_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not FileGroupTask(dataset_name="d").validate()
    assert "has no files" in caplog.text


def test_file_group_wants_a_list() -> None:
    with pytest.raises(TypeError, match="must be a list, got str"):
        FileGroupTask(dataset_name="d", data="path")  # type: ignore[arg-type]


def test_documents_are_rows_of_a_table_or_a_frame() -> None:
    table = pa.table({"text": ["a", "b"]})
    batch = DocumentBatch(dataset_name="d", data=table)
    assert (batch.num_items, batch.get_columns()) == (2, ["text"])
    assert batch.to_pyarrow() is table
    frame = DocumentBatch(dataset_name="d", data=batch.to_pandas())
    assert (frame.num_items, frame.get_columns()) == (2, ["text"])
    assert frame.to_pyarrow().to_pydict() == {"text": ["a", "b"]}


def test_documents_may_not_be_anything_else() -> None:
    batch = DocumentBatch(dataset_name="d", data=pa.table({"a": [1]}))
    batch.data = [1]
    for wrong in (batch.to_pandas, batch.to_pyarrow, batch.get_columns):
        with pytest.raises(TypeError, match="DocumentBatch holds list"):
            wrong()


def test_task_shows_its_id_and_not_its_payload() -> None:
    class Quiet(Doc):
        __repr__ = Doc.__mro__[1].__repr__

    task = Quiet(data="x" * 1000)
    task._set_task_id("0", 3)
    assert repr(task) == "Quiet(task_id=0_3, dataset_name=docs)"
    assert task.get_source_id() == "3"


def test_task_without_a_parent_is_named_after_the_suffix_alone() -> None:
    task = Doc()
    task._set_task_id("", "abc")
    assert task.task_id == "abc"


# Figures -------------------------------------------------------------------------------------


def test_figures_are_unpacked_when_somebody_looks() -> None:
    task = Doc()
    del task.__dict__["_stage_perf"]  # as when it comes out of a worker
    task.__dict__["_perf_packed"] = pack_entry(1, 5, 0.5, 0.1, 0.2, 7)
    task.__dict__["_perf_names"] = ("read", "caption")
    task.__dict__["_perf_metrics"] = {7: {"frames": 3.0}}
    assert task._stage_perf == [StagePerfStats("caption", 0.5, 0.1, 0.2, 5, {"frames": 3.0})]
    assert task._stage_perf is task._stage_perf


def test_added_figures_stay() -> None:
    task = Doc()
    task.add_stage_perf(StagePerfStats("own", 1.0))
    assert [stats.stage_name for stats in task._stage_perf] == ["own"]
    assert [stats.stage_name for stats in copy.deepcopy(task)._stage_perf] == ["own"]


def test_figures_given_at_creation_are_kept() -> None:
    stats = StagePerfStats("before", 1.0)
    assert Doc(_stage_perf=[stats])._stage_perf == [stats]


def test_entry_has_the_same_size_whatever_is_in_it() -> None:
    assert len(pack_entry(65_535, 2**40, 1e9, 1e9, 1e9, 2**63)) == ENTRY_BYTES == 42


def test_merged_chain_counts_each_batch_once_and_sums_the_rest() -> None:
    shared = pack_entry(0, 10, 1.0, 0.1, 0.5, 1)
    first = shared + pack_entry(1, 4, 2.0, 0.0, 0.0, 2)
    second = shared + pack_entry(1, 6, 3.0, 0.0, 0.0, 3)
    merged = merge_chains([first, second, first])
    assert unpack_chain(merged, ("a", "b"), None) == [
        StagePerfStats("a", 1.0, 0.1, 0.5, 10),
        StagePerfStats("b", 5.0, 0.0, 0.0, 10),
    ]


def test_figures_add_up() -> None:
    one = StagePerfStats("s", 1.0, 0.5, 2.0, 3, {"a": 1.0})
    other = StagePerfStats("s", 2.0, 0.5, 1.0, 4, {"a": 1.0, "b": 5.0})
    total = StagePerfStats("s", 3.0, 1.0, 3.0, 7, {"a": 2.0, "b": 5.0})
    assert one + other == total
    assert sum([one, other]) == total
    with pytest.raises(TypeError, match="cannot add str"):
        "x" + one  # type: ignore[operator]


def test_figures_as_plain_values() -> None:
    stats = StagePerfStats("s", 1.0, 0.5, 2.0, 3, {"a": 1.0})
    assert stats.items() == [
        ("process_time", 1.0),
        ("actor_idle_time", 0.5),
        ("input_data_size_mb", 2.0),
        ("num_items_processed", 3),
        ("custom.a", 1.0),
    ]
    stats.reset()
    assert stats == StagePerfStats("s")


# Resources -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        ({}, 0.0),
        ({"gpus": 0.5}, 0.5),
        ({"gpus": 2}, 2),
        ({"gpu_memory_gb": 12}, 0.5),
        ({"gpu_memory_gb": 0.1}, 0.1),  # less would be taken for none
        ({"gpu_memory_gb": 24}, 1.0),
    ],
)
def test_gpu_memory_becomes_a_share_of_one_gpu(options: dict[str, Any], gpus: float) -> None:
    found = Resources(**options)
    assert (found.gpus, found.requires_gpu) == (gpus, gpus > 0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cpus": -1}, "Resources.cpus must be a number >= 0, got -1"),
        ({"cpus": "1"}, "Resources.cpus must be a number >= 0, got '1'"),
        ({"cpus": float("nan")}, "Resources.cpus must be a number >= 0, got nan"),
        ({"memory": True}, "Resources.memory must be a number >= 0, got True"),
        ({"gpus": 1, "gpu_memory_gb": 1}, "gpus and gpu_memory_gb are both set"),
        ({"gpus": 1.5}, "above 1 must be whole, got 1.5"),
    ],
)
def test_impossible_resources_are_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match="Resources") as raised:
        Resources(**options)
    assert text in str(raised.value)


# Pipeline ------------------------------------------------------------------------------------


class Recorder:
    """An executor that notes what it is given."""

    def __init__(self) -> None:
        self.given: Any = None

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        self.given = (stages, initial_tasks)
        return ["done"]


def test_pipeline_hands_built_stages_and_named_tasks_to_its_executor() -> None:
    executor = Recorder()
    tasks = [Doc(data="a"), Doc(data="b"), EmptyTask()]
    pipeline = Pipeline("p").add_stage(Words()).add_stage(Upper())
    assert pipeline.run(executor, tasks) == ["done"]  # type: ignore[comparison-overlap]
    assert executor.given == (pipeline.stages, tasks)
    assert [task.task_id for task in tasks] == ["0_0", "0_1", "0"]
    assert (pipeline.stages[0].is_source_stage, pipeline.stages[1].is_sink_stage) == (True, True)


def test_pipeline_without_tasks_leaves_them_to_the_executor() -> None:
    executor = Recorder()
    Pipeline("p", stages=[Upper()]).run(executor)
    assert executor.given[1] is None


def test_role_that_is_given_is_kept() -> None:
    first, second = Words(), Upper()
    second.is_source_stage = True
    Pipeline("p", stages=[first, second]).build()
    assert (first.is_source_stage, second.is_source_stage) == (False, True)


def test_two_sources_are_refused() -> None:
    first, second = Words(), Upper()
    first.is_source_stage = second.is_source_stage = True
    with pytest.raises(ValueError, match=r"marked as source: \['words', 'upper'\]"):
        Pipeline("p", stages=[first, second]).build()


def test_pipeline_takes_stages_only_and_at_least_one() -> None:
    with pytest.raises(TypeError, match="pipeline p: a stage must be a ProcessingStage, got str"):
        Pipeline("p").add_stage("words")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pipeline p has no stages"):
        Pipeline("p").build()


def test_description_tells_what_each_stage_needs() -> None:
    stage = Words().with_(resources=Resources(cpus=2.0, gpus=0.5), batch_size=4)
    text = Pipeline("p", "splits", [stage]).describe()
    for line in ("Pipeline: p", "Description: splits", "Stage 1: words", "2 CPUs, 0.5 GPUs"):
        assert line in text
    assert "Batch size: 4" in text
