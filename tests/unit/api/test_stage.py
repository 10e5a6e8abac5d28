"""What stage authors can rely on: attributes, `with_`, validation, metrics."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import cloudpickle
import pytest

from curator_executor.api import DocumentBatch, FileGroupTask, ProcessingStage, Resources, Task


class Plain(ProcessingStage[Any, Any]):
    name = "plain"

    def process(self, task: Any) -> Any:
        return task


# with_ ---------------------------------------------------------------------------------------


def test_with_gives_a_copy_and_leaves_the_stage_alone() -> None:
    stage: Any = Plain()
    stage.shared = [1]
    other = stage.with_(name="other", batch_size=4, resources=Resources(cpus=2.0))
    other.shared.append(2)
    assert (other.name, other.batch_size, other.resources.cpus) == ("other", 4, 2.0)
    assert (stage.name, stage.batch_size, stage.resources.cpus) == ("plain", 1, 1.0)
    assert stage.shared == [1]


def test_with_nothing_changes_nothing() -> None:
    stage = Plain()
    other = stage.with_()
    assert other is not stage
    assert other.get_config() == stage.get_config()


def test_with_fixes_worker_counts_and_can_free_them_again() -> None:
    fixed = Plain().with_(num_workers=3)
    assert fixed.num_workers() == 3
    assert fixed.with_(num_workers=None).num_workers() is None
    assert Plain().with_(num_workers_per_node=0.5).num_workers_per_node() == 0.5


def test_with_merges_specs_key_by_key() -> None:
    stage = Plain().with_(xenna_stage_spec={"max_workers": 2, "min_workers": 1})
    again = stage.with_(xenna_stage_spec={"max_workers": 3})
    assert again.xenna_stage_spec() == {"max_workers": 3, "min_workers": 1}
    assert stage.xenna_stage_spec() == {"max_workers": 2, "min_workers": 1}


def test_stage_made_by_with_can_be_sent_to_a_worker() -> None:
    stage = Plain().with_(num_workers=2, xenna_stage_spec={"max_workers": 2})
    back = pickle.loads(cloudpickle.dumps(stage))
    assert (back.num_workers(), back.xenna_stage_spec()) == (2, {"max_workers": 2})


def test_spec_handed_out_is_a_copy() -> None:
    stage = Plain().with_(xenna_stage_spec={"max_workers": 2})
    stage.xenna_stage_spec()["max_workers"] = 9
    assert stage.xenna_stage_spec() == {"max_workers": 2}


@pytest.mark.parametrize(
    "options",
    [
        {"xenna_stage_spec": {"num_workers": 2}},
        {"num_workers": 2, "num_workers_per_node": 1},
        {"num_workers": 2, "xenna_stage_spec": {"num_workers_per_node": 1}},
    ],
)
def test_two_places_for_the_worker_count_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="num_workers"):
        Plain().with_(**options)


# Class rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["name", "resources", "batch_size", "runtime_env"])
def test_attribute_that_with_replaces_may_not_be_a_property(attribute: str) -> None:
    with pytest.raises(TypeError, match=f"Bad.{attribute} must be a plain attribute"):
        type("Bad", (Plain,), {attribute: property(lambda self: 1)})


@pytest.mark.parametrize("method", ["num_workers", "num_workers_per_node"])
def test_worker_count_may_not_be_an_attribute(method: str) -> None:
    with pytest.raises(TypeError, match=f"Bad.{method} must be a method"):
        type("Bad", (Plain,), {method: 3})


def test_annotated_worker_count_is_refused_too() -> None:
    with pytest.raises(TypeError, match="num_workers must be a method"):

        class Bad(Plain):
            num_workers: int  # type: ignore[assignment]


def test_process_has_to_be_written() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ProcessingStage()  # type: ignore[abstract]


def test_default_batch_flattens_lists_and_generators() -> None:
    class Splits(Plain):
        def process(self, task: Any) -> Any:
            return {"list": [1, 2], "one": 3, "none": None, "yields": iter([4, 5])}[task]

    assert Splits().process_batch(["list", "one", "none", "yields"]) == [1, 2, 3, None, 4, 5]


def test_fan_out_is_read_from_what_process_says() -> None:
    class Lists(Plain):
        def process(self, task: Any) -> list[Task[Any]]:
            return []

    class Maybe(Plain):
        def process(self, task: Any) -> Task[Any] | list[Task[Any]] | None:
            return None

    class Yields(Plain):
        def process(self, task: Any) -> Iterator[Task[Any]]:
            yield task

    class Gives(Plain):
        def process(self, task: Any) -> Iterable[Task[Any]]:
            return [task]

    found = [s().is_fanout_stage() for s in (Lists, Maybe, Yields, Gives, Plain)]
    assert found == [True, True, True, True, False]


def test_config_tells_whether_batches_are_the_stages_own() -> None:
    class Batches(Plain):
        def process_batch(self, tasks: list[Any]) -> list[Any]:
            return tasks

    assert Batches().get_config() == {
        "name": "plain",
        "resources": Resources(),
        "batch_size": 1,
        "supports_batch_processing": True,
    }
    assert not Plain().supports_batch_processing()


# Validation ----------------------------------------------------------------------------------


class Needs(Plain):
    name = "needs"

    def __init__(self, specs: Any) -> None:
        self.specs = specs

    def inputs(self) -> Any:
        return self.specs


FILES = FileGroupTask(dataset_name="d", data=["a"])


@pytest.mark.parametrize(
    ("specs", "holds", "told"),
    [
        (([], []), True, ""),
        ((["data", "task_id"], []), True, ""),
        ((["score"], []), False, "lacks score"),
        (([], ["text"]), False, "lacks text"),
        ({FileGroupTask: (["data"], [])}, True, ""),
        ({Task: (["score"], []), FileGroupTask: ([], [])}, True, ""),  # the most specific wins
        ({DocumentBatch: ([], [])}, False, "does not take a FileGroupTask; it takes: Document"),
        ({}, False, "it takes: none"),
        ("data", False, "inputs() must return a tuple or a dict"),
        ((["data"],), False, "inputs() must give (task attributes, data attributes)"),
    ],
)
def test_input_is_checked_and_the_log_says_what_is_missing(
    specs: Any, holds: bool, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert Needs(specs).validate_input(FILES) is holds
    assert told in caplog.text


def test_columns_of_a_table_count_as_data() -> None:
    import pyarrow as pa

    batch = DocumentBatch(dataset_name="d", data=pa.table({"text": ["a"]}))
    assert Needs((["data"], ["text"])).validate_input(batch)
    assert not Needs(([], ["language"])).validate_input(batch)


# What a stage says ---------------------------------------------------------------------------


def test_metrics_are_taken_once() -> None:
    stage = Plain()
    stage._log_metric("a", 1)
    stage._log_metrics({"b": 2.5, "a": 3})
    assert stage._consume_custom_metrics() == {"a": 3.0, "b": 2.5}
    assert stage._consume_custom_metrics() == {}


def test_metric_that_is_no_number_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    stage = Plain()
    stage._log_metrics({"good": 1, "bad": "x"})  # type: ignore[dict-item]
    assert stage._consume_custom_metrics() == {"good": 1.0}
    assert "metric bad is not a number: 'x'" in caplog.text


def test_time_is_measured_even_when_it_ends_badly() -> None:
    stage = Plain()
    with pytest.raises(ValueError, match="no"), stage._time_metric("load_s"):
        raise ValueError("no")
    assert stage._consume_custom_metrics()["load_s"] >= 0


def test_observations_keep_counts_and_a_few_short_samples() -> None:
    stage = Plain()
    for number in range(5):
        stage._log_dropped("short", sample=f"{number}" * 1000)
        stage._log_kept(count=2, sample=f"{number}")
    seen = stage._consume_observations()
    assert seen is not None
    assert (seen.kept, seen.dropped, seen.kept_samples) == (10, {"short": 5}, ["0", "1", "2"])
    assert [(reason, len(text)) for reason, text in seen.dropped_samples] == [("short", 400)] * 3
    assert stage._consume_observations() is None


def test_stages_do_not_share_what_they_say() -> None:
    one, other = Plain(), Plain()
    one._log_metric("a", 1)
    assert other._consume_custom_metrics() == {}
