"""An interrupt at any moment of the driver's loop ends the run and leaves nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from curator_executor.core import actions as act
from curator_executor.core.events import Event
from curator_executor.core.step import step
from curator_executor.ray_backend.pool import RayWorkerPool
from curator_executor.runtime.loop import Loop
from curator_executor.runtime.run import RunContext, run_stages
from curator_executor.runtime.settings import RunSettings
from curator_executor.runtime.stop import StopRequest, Terminated
from tests.integration.marks import Marks
from tests.integration.pieces import TWO_CPUS, Apply, Number, numbers, passed_on, run, values

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


@pytest.fixture
def pressing_ctrl_c() -> Iterator[None]:
    """Python's own handler, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_inside_a_step_lets_the_step_end(
    monkeypatch: pytest.MonkeyPatch, pressing_ctrl_c: None
) -> None:
    """1. `step` takes in that a call is done. 2. Ctrl-C comes while it changes the state. 3. What
    the step has not noted or asked for yet is lost.
    """
    said: list[str] = []

    def interrupted(*given: Any) -> list[act.Action]:
        actions = step(*given)
        if not said and any(isinstance(action, act.SubmitCall) for action in actions):
            said.append("begun")
            os.kill(os.getpid(), signal.SIGINT)
            said.append("ended")
        return actions

    monkeypatch.setattr("curator_executor.runtime.loop.step", interrupted)
    interrupted_run([Apply(passed_on, "a"), Apply(passed_on, "b", workers=1)])
    assert said == ["begun", "ended"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_drain_from_another_thread_ends_a_run_in_which_nothing_happens(marks: Marks) -> None:
    stop = StopRequest()

    def wait_for_ever(task: Number) -> Number:
        marks.set("running")
        marks.wait("never", 600)
        return task

    def drain() -> None:
        marks.wait("running")
        stop.drain("enough")

    thread = threading.Thread(target=drain)
    thread.start()
    settings = RunSettings.from_config(
        {"cpu_allocation_percentage": TWO_CPUS, "drain_s": 0.5, "logging_interval": 600}
    )
    started = time.monotonic()
    with pytest.raises(Terminated, match="enough"):
        run_stages([Apply(wait_for_ever)], numbers(1), settings, context=RunContext(stop=stop))
    thread.join()
    assert time.monotonic() - started < ENDS_WITHIN_S


def test_run_in_another_thread_needs_no_signals_and_can_be_drained(marks: Marks) -> None:
    stop = StopRequest()
    ended: list[object] = []

    def slow(task: Number) -> Number:
        marks.set("running")
        time.sleep(0.01)
        return task

    def work() -> None:
        settings = RunSettings.from_config({"cpu_allocation_percentage": TWO_CPUS})
        ended.append(values(run_stages([Apply(passed_on)], numbers(3), settings).tasks))
        try:
            run_stages([Apply(slow)], numbers(100_000), settings, context=RunContext(stop=stop))
        except KeyboardInterrupt as interrupt:
            ended.append(str(interrupt))

    thread = threading.Thread(target=work)
    thread.start()
    marks.wait("running")
    stop.drain("enough")
    thread.join(ENDS_WITHIN_S)
    assert [sorted(ended[0]), *ended[1:]] == [[0, 1, 2], "enough"]  # type: ignore[call-overload]
