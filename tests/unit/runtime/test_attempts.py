"""A batch that fails is tried again on a fresh copy; the last attempt tells everything."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

from curator_executor.api import FailedTask, ProcessingStage, Task
from tests.unit.runtime.hosting import Doc, Each, Once, Upper, Words, roots, run


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


class FailsOnce(ProcessingStage[Doc, Doc]):
    """Spoils its input, then raises, a number of times."""

    name = "fails"

    def __init__(self, times: int, batch_size: int = 1) -> None:
        self.left, self.batch_size = times, batch_size

    def process(self, task: Doc) -> Doc:
        task.data += "!"
        if self.left:
            self.left -= 1
            raise ValueError("not now")
        return task


def test_retry_gets_a_fresh_copy_of_its_input(pauses: list[float]) -> None:
    answer = run(FailsOnce(2), tasks=roots("a"), attempts=(3,))
    assert (answer.data, answer.errors, answer.figures().retried) == (["a!"], [], 2)
    assert pauses == [0.2, 0.4]


def test_fused_retry_gets_a_fresh_copy_of_its_input(pauses: list[float]) -> None:
    assert run(Words(), FailsOnce(1), tasks=roots("a"), attempts=(1, 2)).data == ["a!"]


def test_pauses_between_attempts_have_a_limit(pauses: list[float]) -> None:
    run(FailsOnce(9), tasks=roots("a"), attempts=(10,))
    assert pauses[-1] == 16.0


def test_last_attempt_tells_everything(pauses: list[float]) -> None:
    answer = run(FailsOnce(9, batch_size=2), tasks=roots("a", "b"), attempts=(2,))
    (error,) = answer.errors
    assert (error.stage, error.tasks, error.task_ids) == (0, 2, ("0_0", "0_1"))
    assert (error.error, error.message, error.attempts) == ("ValueError", "not now", 2)
    assert 'raise ValueError("not now")' in error.traceback
    cause = pickle.loads(error.cause)
    assert isinstance(cause, ValueError)
    assert [task.data for task in pickle.loads(error.inputs)] == ["a", "b"]


def test_metrics_of_a_failed_attempt_are_forgotten(pauses: list[float]) -> None:
    class Counts(FailsOnce):
        def process(self, task: Doc) -> Doc:
            self._log_metric("seen", 1)
            self._log_dropped("none")
            return super().process(task)

    answer = run(Counts(1), tasks=roots("a"), attempts=(2,))
    assert answer.figures().metrics == {"seen": 1.0}
    assert answer.reports[0].figures[0].dropped == {"none": 1}


class Stutters(ProcessingStage[Doc, Doc]):
    """Yields words; raises at the third one, once."""

    name = "stutters"
    raised = False

    def process(self, task: Doc) -> Iterator[Doc]:
        for word in task.data.split():
            if word == "c" and not self.raised:
                self.raised = True
                raise ValueError("half-way")
            yield Doc(data=word)


def test_generator_that_raises_half_way_goes_on_where_it_was(pauses: list[float]) -> None:
    answer = run(Stutters(), tasks=roots("a b c d"), attempts=(2,))
    assert (answer.data, answer.ids) == (["a", "b", "c", "d"], [f"0_0_{n}" for n in range(4)])


def test_generator_that_gives_up_half_way_says_how_many_it_had_emitted() -> None:
    def half(task: Doc) -> Iterator[Doc]:
        yield Doc(data=1)
        yield Doc(data=2)
        raise ValueError("half-way")

    answer = run(Once(half), tasks=roots("a", "b"), ignore_failures=(True,))
    assert answer.data == [1, 2, 1, 2]
    assert [error.emitted for error in answer.errors] == [2, 2]


def test_retry_that_fails_at_once_is_an_attempt_too(pauses: list[float]) -> None:
    """A generator raised; the next attempt raises before it makes a generator."""

    class Worse(ProcessingStage[Doc, Doc]):
        name = "worse"
        calls = 0

        def process(self, task: Doc) -> Iterator[Doc]:
            type(self).calls += 1
            if type(self).calls > 1:
                raise ValueError("worse")
            return iter(self._rows())

        def _rows(self) -> Iterator[Doc]:
            yield Doc(data=1)
            raise ValueError("bad")

    answer = run(Worse(), tasks=roots("a"), attempts=(3,))
    (error,) = answer.errors
    assert (error.message, error.attempts, error.emitted) == ("worse", 3, 1)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (5, "stage once: process() returned int, wanted a Task"),
        ("text", "process() returned str, wanted a Task"),
        ([Doc(), {}], "process() returned dict, wanted a Task"),
        (FailedTask(), "stage once returned a FailedTask for task 0_0"),
    ],
)
def test_result_that_is_no_task_fails_the_batch(result: Any, text: str) -> None:
    (error,) = run(Once(lambda task: result), tasks=roots("a")).errors
    assert text in error.message


@pytest.mark.parametrize("result", [None, Doc()])
def test_process_batch_that_returns_no_list_fails_the_batch(result: Any) -> None:
    (error,) = run(Each(lambda tasks: result, 2), tasks=roots("a", "b")).errors
    assert "process_batch() returned" in error.message
    assert "wanted a list of tasks" in error.message


def test_input_that_lacks_what_the_stage_asks_for_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Needs(Upper):
        name = "needs"

        def inputs(self) -> tuple[list[str], list[str]]:
            return ["size"], []

    with caplog.at_level(logging.ERROR):
        (error,) = run(Needs(), tasks=roots("a")).errors
    assert "failed validation for stage needs" in error.message
    assert "task 0_0 lacks size" in caplog.text


def test_exception_that_cannot_be_pickled_is_still_told() -> None:
    class Stubborn(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("no")

    def fail(task: Task[Any]) -> None:
        raise Stubborn("it is stubborn")

    (error,) = run(Once(fail), tasks=roots("a")).errors
    assert (error.error, error.message, error.cause) == ("Stubborn", "it is stubborn", b"")
