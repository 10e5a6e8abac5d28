"""What a task costs: from the newest calls, neither first calls nor single slow ones in the way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from curator_executor.core.cost import LEAST, WINDOW_S, Cost


def fed(*samples: tuple[float, float, int], cost: Cost | None = None) -> Cost:
    """After samples of (time, seconds, tasks)."""
    cost = cost or Cost()
    for now, seconds, tasks in samples:
        cost.add(now, seconds, tasks)
    return cost


def steady(begin: float, end: float, per_task: float) -> Iterable[tuple[float, float, int]]:
    """A call of ten tasks every tenth of a second."""
    return ((begin + at / 10, 10 * per_task, 10) for at in range(int(10 * (end - begin))))


def test_nothing_is_known_before_the_first_sample() -> None:
    assert Cost().per_task is None


def test_calls_count_by_their_tasks() -> None:
    assert fed((0.0, 1.0, 1), (1.0, 1.0, 9)).per_task == pytest.approx(0.2)


def test_first_calls_of_workers_count_only_while_there_are_no_others() -> None:
    cost = Cost()
    for worker in range(3):
        cost.add(float(worker), 120.0, 1, is_first=True)
    assert cost.per_task == 120.0
    cost.add(3.0, 2.0, 1)
    assert (cost.per_task, cost.is_warm) == (2.0, True)
    cost.add(4.0, 120.0, 1, is_first=True)
    assert cost.per_task == 2.0


def test_a_lasting_change_is_followed_within_the_window() -> None:
    cost = fed(*steady(0.0, 60.0, 1.0), *steady(60.0, 60.0 + WINDOW_S + 1, 3.0))
    assert cost.per_task == pytest.approx(3.0, rel=0.05)


def test_a_lasting_change_of_any_size_is_followed() -> None:
    cost = fed(*steady(0.0, 60.0, 0.001), *steady(60.0, 60.0 + 2 * WINDOW_S, 50.0))
    assert cost.per_task == pytest.approx(50.0, rel=0.05)
    cost = fed(*steady(80.0, 80.0 + 2 * WINDOW_S, 0.001), cost=cost)
    assert cost.per_task == pytest.approx(0.001, rel=0.05)


def test_one_straggler_among_few_calls_moves_the_figure_little() -> None:
    calls = [(60.0 * at, 60.0, 1) for at in range(LEAST)]
    assert fed(*calls, (600.0, 6000.0, 1)).per_task == pytest.approx(60.0, rel=0.4)


def test_stragglers_that_keep_coming_count_as_often_as_they_come() -> None:
    calls = [(at / 10, 3.0 if at % 10 == 0 else 1.0, 1) for at in range(200)]
    assert fed(*calls).per_task == pytest.approx(1.2, rel=0.05)


def test_slow_calls_are_kept_beyond_the_window_until_there_are_newer_ones() -> None:
    cost = fed(*((100.0 * at, 10.0 + at % 2, 1) for at in range(50)))
    assert cost.per_task == pytest.approx(10.5)


def test_many_small_calls_take_bounded_room() -> None:
    cost = fed(*((at / 10_000, 0.0001, 1) for at in range(50_000)))
    assert len(cost._samples) < 100
    assert cost.per_task == pytest.approx(0.0001)
