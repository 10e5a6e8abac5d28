"""A composite stage is its parts under one name; a function becomes a stage."""

from __future__ import annotations

from typing import Any

import pytest

from curator_executor.api import (
    CompositeStage,
    Pipeline,
    ProcessingStage,
    Resources,
    Task,
    processing_stage,
)
from tests.unit.runtime.hosting import Doc, Upper, Words


class Both(CompositeStage[Doc, Doc]):
    name = "both"

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [Words(), Upper()]


class Same(CompositeStage[Doc, Doc]):
    name = "same"

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [Upper(), Upper()]


class Nested(CompositeStage[Doc, Doc]):
    name = "nested"

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [Both()]


def test_parts_get_their_changes_in_order() -> None:
    stage = Both()
    assert stage.with_({"upper": {"batch_size": 3}, "words": {"name": "split"}}) is stage
    stage.with_({"upper": {"batch_size": 5}})
    parts = stage.decompose_and_apply_with()
    assert [(part.name, part.batch_size) for part in parts] == [("split", 1), ("upper", 5)]


def test_change_of_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no part \['lower'\]; its parts: \['words', 'upper'"):
        Both().with_({"lower": {}}).decompose_and_apply_with()


def test_parts_of_one_name_cannot_be_changed() -> None:
    assert len(Same().decompose_and_apply_with()) == 2
    with pytest.raises(ValueError, match="parts share a name"):
        Same().with_({"upper": {"batch_size": 2}}).decompose_and_apply_with()


def test_composite_without_an_init_of_its_own_base_works() -> None:
    class Lazy(Both):
        def __init__(self) -> None:
            """Does not call its base."""

    assert len(Lazy().with_({"upper": {"batch_size": 2}}).decompose_and_apply_with()) == 2


def test_composite_never_runs_itself() -> None:
    with pytest.raises(TypeError, match="composite stage both is replaced by its parts"):
        Both().process(Doc())


def test_pipeline_replaces_it_and_remembers() -> None:
    pipeline = Pipeline("p", stages=[Both(), Upper()])
    pipeline.build()
    assert [stage.name for stage in pipeline.stages] == ["words", "upper", "upper"]
    assert pipeline.decomposition_info == {"both": ["words", "upper"]}
    pipeline.build()
    assert pipeline.decomposition_info == {"both": ["words", "upper"]}


def test_composite_inside_a_composite_is_refused() -> None:
    with pytest.raises(TypeError, match="composite stage nested contains composite stage both"):
        Pipeline("p", stages=[Nested()]).build()


# Functions -----------------------------------------------------------------------------------


def test_function_becomes_a_stage() -> None:
    @processing_stage(resources={"cpus": 2.0}, batch_size=3, num_workers=2)
    def shout(task: Doc) -> Doc:
        return Doc(data=task.data + "!")

    given = Doc(data="a")
    given._metadata = {"kept": 1}
    result = shout.process(given)
    assert (shout.name, shout.batch_size, shout.num_workers()) == ("shout", 3, 2)
    assert shout.resources == Resources(cpus=2.0)
    assert (result.data, result._metadata) == ("a!", {"kept": 1})
    result._metadata["kept"] = 2
    assert given._metadata == {"kept": 1}


def test_function_that_lists_fans_out() -> None:
    @processing_stage(name="split")
    def words(task: Doc) -> list[Task[Any]]:
        return [Doc(data=word) for word in task.data.split()]

    given = Doc(data="a b")
    given._metadata = {"kept": 1}
    assert (words.name, words.is_fanout_stage()) == ("split", True)
    assert [t._metadata for t in words.process(given)] == [{"kept": 1}] * 2


def test_function_stages_can_be_changed_and_do_not_share_their_limits() -> None:
    @processing_stage()
    def one(task: Doc) -> Doc:
        return task

    other = one.with_(name="other", batch_size=9)
    assert (one.batch_size, other.batch_size, other.process(Doc(data=1)).data) == (1, 9, 1)


@pytest.mark.parametrize("count", [0, 2])
def test_function_takes_one_parameter(count: int) -> None:
    function = [lambda: None, None, lambda a, b: None][count]
    with pytest.raises(ValueError, match=f"takes {count}"):
        processing_stage()(function)  # type: ignore[arg-type]


def test_decorated_object_has_to_be_a_function() -> None:
    with pytest.raises(TypeError, match="goes on a function, got int"):
        processing_stage()(5)  # type: ignore[arg-type]


def test_resources_are_resources_or_a_dict() -> None:
    with pytest.raises(TypeError, match="resources must be Resources or a dict, got int"):
        processing_stage(resources=5)  # type: ignore[arg-type]
