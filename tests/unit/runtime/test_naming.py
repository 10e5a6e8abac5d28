"""Ids and lineage keys of outputs follow from their inputs, by rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curator_executor.api import NoneTask, ProcessingStage
from tests.unit.runtime.hosting import Doc, Each, Once, Upper, Words, ask, host_of, roots, run

# Ids ------------------------------------------------------------------------------------------


def test_one_output_is_child_zero() -> None:
    assert run(Upper(), tasks=roots("a", "b")).ids == ["0_0_0", "0_1_0"]


def test_fan_out_numbers_the_children() -> None:
    assert run(Words(), tasks=roots("a b", "c")).ids == ["0_0_0", "0_0_1", "0_1_0"]


def test_filtered_slots_keep_their_numbers() -> None:
    stage = Once(lambda task: [None, Doc(data=1), NoneTask(), Doc(data=2)])
    assert run(stage, tasks=roots("x")).ids == ["0_0_1", "0_0_3"]


def test_batch_with_an_output_per_input_names_each_after_its_own() -> None:
    stage = Each(lambda tasks: [Doc(data=task.data) for task in tasks], 3)
    assert run(stage, tasks=roots("a", "b", "c")).ids == ["0_0_0", "0_1_0", "0_2_0"]


def test_batch_that_filters_by_none_names_the_others_after_their_own() -> None:
    stage = Each(lambda tasks: [task if task.data != "b" else None for task in tasks], 3)
    assert run(stage, tasks=roots("a", "b", "c")).ids == ["0_0_0", "0_2_0"]


def test_batch_that_merges_gives_ids_that_start_with_r() -> None:
    stage = Each(lambda tasks: [Doc(data="".join(task.data for task in tasks))], 3)
    answer = run(stage, tasks=roots("a", "b", "c"))
    assert answer.data == ["abc"]
    assert answer.ids == ["r" + answer.keys[0].hex()]


def test_default_batch_names_fan_out_after_its_own_input() -> None:
    stage = Words()
    stage.batch_size = 2
    answer = run(stage, tasks=roots("a b", "c"))
    assert answer.ids == ["0_0_0", "0_0_1", "0_1_0"]


def test_source_names_after_content_where_it_can() -> None:
    class File(Doc):
        def get_deterministic_id(self) -> str | None:
            return self.data or None

    stage = Once(lambda _: [File(data=d) for d in ("x", "y", "x", "")], is_source_stage=True)
    assert run(stage, tasks=roots("")).ids == ["0_0_x", "0_0_y", "0_0_2", "0_0_3"]


def test_task_emitted_twice_gets_two_ids() -> None:
    def twice(task: Doc) -> list[Doc]:
        return [task, task]

    answer = run(Once(twice), tasks=roots("a"))
    assert (answer.ids, answer.data) == (["0_0_0", "0_0_1"], ["a", "a"])
    assert len(set(answer.keys)) == 2


def test_object_that_a_stage_uses_again_for_each_output_is_written_as_it_was() -> None:
    """The outputs of a call wait to be written together; by then the object has moved on."""

    class Reuses(ProcessingStage[Doc, Doc]):
        name = "reuses"

        def __init__(self) -> None:
            self.result = Doc()

        def process(self, task: Doc) -> Doc:
            self.result.data = task.data.upper()
            return self.result

    answer = run(Reuses(), tasks=roots("a", "b", "c"))
    assert (answer.data, answer.ids) == (["A", "B", "C"], ["0_0_0", "0_1_0", "0_2_0"])


def test_object_that_a_generator_yields_again_is_written_as_it_was() -> None:
    def rows(task: Doc) -> Iterator[Doc]:
        out = Doc()
        for word in task.data.split():
            out.data = word
            yield out

    answer = run(Once(rows), tasks=roots("a b c"))
    assert (answer.data, answer.ids) == (["a", "b", "c"], ["0_0_0", "0_0_1", "0_0_2"])


# Lineage --------------------------------------------------------------------------------------


def test_lineage_key_is_the_same_when_a_task_is_made_again() -> None:
    first, second = (run(Words(), tasks=roots("a b", "c d"), worker=n) for n in (1, 2))
    assert first.keys == second.keys
    assert len(set(first.keys)) == 4


def test_lineage_key_tells_stages_parents_and_positions_apart() -> None:
    other = Words()
    other.name = "other"
    keys = [
        *run(Words(), tasks=roots("a b", "a b")).keys,
        *run(other, tasks=roots("a b", "a b")).keys,
    ]
    assert len(set(keys)) == 8


@pytest.mark.parametrize("per_call", [1, 2, 5])
@pytest.mark.parametrize("block_bytes", [1, 10**9])
def test_lineage_does_not_depend_on_calls_and_blocks(per_call: int, block_bytes: int) -> None:
    tasks = roots(*("a b c", "d", "", "e f", "g"))
    whole = run(Words(), tasks=tasks)
    parts = ask(host_of(Words(), block_bytes=block_bytes), tasks, per_call=per_call)
    assert (parts.keys, parts.ids, parts.data) == (whole.keys, whole.ids, whole.data)


def test_lineage_of_a_merge_depends_on_the_order_of_its_inputs() -> None:
    stage = Each(lambda tasks: [Doc()], 2)
    tasks = roots("a", "b")
    one, other = run(stage, tasks=tasks), run(stage, tasks=tasks[::-1])
    assert one.keys != other.keys


def test_generator_and_list_give_the_same_tasks() -> None:
    listed = run(Once(lambda t: [Doc(data=w) for w in t.data.split()]), tasks=roots("a b"))
    yielded = run(Once(lambda t: (Doc(data=w) for w in t.data.split())), tasks=roots("a b"))
    assert (yielded.ids, yielded.keys, yielded.data) == (listed.ids, listed.keys, listed.data)
