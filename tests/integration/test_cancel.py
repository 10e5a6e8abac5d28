"""An interrupt at any moment of the driver's loop ends the run and leaves nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from curator_executor.core import actions as act
from curator_executor.core.events import Event
from curator_executor.ray_backend.pool import RayWorkerPool
from curator_executor.runtime.loop import Loop
from tests.integration.pieces import Apply, Number, numbers, passed_on, run, values

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("on_ray")]
# `drain_s` of these runs is 1 s. A run that waits for a worker that it never hears of again would
# not end at all.
ENDS_WITHIN_S = 45.0


def interrupted_run(stages: list[Any]) -> None:
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(stages, numbers(2_000), drain_s=1.0)
    assert time.monotonic() - start < ENDS_WITHIN_S
    assert sorted(values(run([Apply(passed_on)], numbers(3)).tasks)) == [0, 1, 2]


@pytest.mark.parametrize(
    "kind", [act.StartWorker, act.SetupWorker, act.SubmitCall, act.ReleaseBlock, act.KeepOutput]
)
def test_an_interrupt_before_an_action_is_carried_out_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    """1. `step` notes a worker (or a call) and asks for it. 2. Ctrl-C comes before the pool has
    heard. 3. The run waits for its workers to end, this one among them, which does not exist.
    """
    perform = Loop._perform
    interrupts = [KeyboardInterrupt()]

    def interrupted(self: Loop, action: act.Action, now: float) -> None:
        if isinstance(action, kind) and interrupts:
            raise interrupts.pop()
        perform(self, action, now)

    monkeypatch.setattr(Loop, "_perform", interrupted)

    def slow(task: Number) -> Number:
        time.sleep(0.001)
        return task

    interrupted_run([Apply(slow, "a"), Apply(passed_on, "b", workers=1)])
    assert not interrupts


def test_an_interrupt_that_swallows_a_workers_end_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1. A worker's end is taken out of the queue. 2. Ctrl-C comes before `wait` has returned it.
    3. The run believes that the worker lives and asks it to stop.
    """
    wait = RayWorkerPool.wait
    interrupts = [KeyboardInterrupt()]

    def interrupted(self: RayWorkerPool, timeout_s: float | None) -> Sequence[Event]:
        events = wait(self, timeout_s)
        if interrupts and any(type(event).__name__ == "WorkerStopped" for event in events):
            raise interrupts.pop()
        return events

    monkeypatch.setattr(RayWorkerPool, "wait", interrupted)
    stages = [Apply(passed_on, "a", workers=1), Apply(passed_on, "b", workers=1)]
    interrupted_run(stages)
    assert not interrupts
