"""What goes the short way is written as it was, in chunks of a sensible size."""

from __future__ import annotations

from typing import Any

import pytest

from curator_executor.runtime import codec
from curator_executor.runtime.host import Piece
from tests.unit.runtime.test_sprint import COUNT, NAMES, Number, Stage, host_of, numbered


def labelled(_stage: Stage, task: Number) -> Number:
    """The same task with an attribute more, or another instead of one that it had."""
    if task.data % 3 == 0:
        task.label = task.data  # type: ignore[attr-defined]
    if task.data % 4 == 0:
        del task.__dict__["_metadata"]
        task._metadata = {}
        task.other = 1  # type: ignore[attr-defined]
    return Number("fresh", task.data) if task.data % 5 == 0 else task


def test_attributes_of_its_own_travel_with_each_task() -> None:
    host = host_of(labelled)
    payload, _ = codec.encode([Number("d", n) for n in range(COUNT)])
    _, given_out = host.call([Piece(payload, 0, COUNT, 1.0)])
    found = list(codec.decode(given_out or [], NAMES))
    assert [task.data for task in found] == list(range(COUNT))
    kept = [task for task in found if task.data % 5]
    assert all(
        getattr(task, "label", None) == (None, task.data)[task.data % 3 == 0] for task in kept
    )
    assert all(hasattr(task, "other") == (task.data % 4 == 0) for task in kept)
    assert not any(hasattr(task, "label") for task in found if task.data % 5 == 0)


def test_as_many_attributes_but_others_are_told_apart() -> None:
    def one_or_other(_stage: Stage, task: Number) -> Number:
        setattr(task, "label" if task.data % 4 < 2 else "other", task.data)
        return task

    host = host_of(one_or_other)
    payload, _ = codec.encode([Number("d", n) for n in range(COUNT)])
    _, given_out = host.call([Piece(payload, 0, COUNT, 1.0)])
    for task in codec.decode(given_out or [], NAMES):
        name, lacks = ("label", "other") if task.data % 4 < 2 else ("other", "label")
        assert (getattr(task, name), hasattr(task, lacks)) == (task.data, False)


def test_what_an_interrupted_call_left_is_not_given_out_by_the_next() -> None:
    def interrupted(stage: Stage, task: Number) -> Number:
        if stage.calls == 6:
            raise KeyboardInterrupt
        return task

    host = host_of(interrupted)
    payload, _ = codec.encode(numbered(10))
    with pytest.raises(KeyboardInterrupt):
        host.call([Piece(payload, 0, 10, 1.0)])
    host.drop()
    _, given_out = host.call([Piece(payload, 8, 10, 1.0)])
    assert [task.data for task in codec.decode(given_out or [], NAMES)] == [8, 9]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_large_outputs_make_small_chunks(batch_size: int) -> None:
    def large(_stage: Stage, tasks: Any) -> Any:
        if isinstance(tasks, list):
            return [large(_stage, task) for task in tasks]
        return Number("x" * 10, "y" * 300_000)  # type: ignore[arg-type]

    host = host_of(large, batch_size=batch_size)
    payload, _ = codec.encode(numbered(8))
    _, given_out = host.call([Piece(payload, 0, 8, 1.0)])
    assert [chunk[0] for chunk in given_out or []] == [2, 2, 2, 2]


def test_a_filter_that_leaves_few_makes_few_chunks() -> None:
    def one_in_fifty(_stage: Stage, task: Number) -> Number | None:
        return task if task.data % 50 == 0 else None

    host = host_of(one_in_fifty)
    payload, _ = codec.encode(numbered(5000))
    _, given_out = host.call([Piece(payload, 0, 5000, 1.0)])
    assert sum(chunk[0] for chunk in given_out or []) == 100
    assert len(given_out or []) <= 2
