"""Small runs for the unit tests of the core, and the steps that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from curator_executor.core.actions import Action, SubmitCall
from curator_executor.core.events import (
    CallDone,
    Event,
    WorkerCreated,
    WorkerDied,
    WorkerReady,
)
from curator_executor.core.fusion import plan_pools
from curator_executor.core.invariants import check
from curator_executor.core.state import CoreSettings, State, new_state
from curator_executor.core.step import step
from curator_executor.core.types import (
    BatchError,
    Call,
    CallReport,
    Node,
    StageFigures,
    StageSpec,
)

NODE = Node("n1", cpus=1.0)


def specs(*options: dict[str, Any]) -> tuple[StageSpec, ...]:
    return tuple(StageSpec(index, f"s{index}", **each) for index, each in enumerate(options))


def run_of(
    *options: dict[str, Any],
    tasks: int = 10,
    cpus: float = 1.0,
    settings: CoreSettings | None = None,
    store_bytes: int = 0,
    nodes: Sequence[Node] = (),
) -> State:
    """A run that has not begun: a stage for each dict of options."""
    return new_state(
        plan_pools(specs(*options), fuse=False),
        tuple(nodes) or (replace(NODE, cpus=cpus, store_bytes=store_bytes),),
        settings or CoreSettings(),
        tasks,
        tasks * 100,
        0.0,
    )


def after(state: State, *events: Event, now: float = 1.0) -> list[Action]:
    """What the core does when this happens; its invariants hold afterwards."""
    actions = step(state, events, now)
    check(state)
    return actions


def calls(actions: list[Action]) -> list[Call]:
    return [action.call for action in actions if isinstance(action, SubmitCall)]


def bring_up(state: State, *workers: int, now: float = 0.5) -> list[Action]:
    """Start the run and make these workers ready; what the core does when the last one is."""
    if not state.workers:
        after(state, now=0.0)
    for worker in workers:
        after(state, WorkerCreated(worker, "n1"), now=now)
    return after(state, *(WorkerReady(worker, 0.1) for worker in workers), now=now)


def done(
    call: Call,
    consumed: int | None = None,
    *,
    out: int | None = None,
    out_bytes: int = 0,
    wall_s: float = 0.01,
    **report: Any,
) -> CallDone:
    """The call came back: all of its input is finished, one output each, unless said otherwise."""
    tasks = sum(segment.tasks for segment in call.segments)
    finished = tasks if consumed is None else consumed
    emitted = finished if out is None else out
    return CallDone(
        call.worker,
        call.id,
        CallReport(
            consumed=finished,
            out_tasks=emitted,
            out_bytes=out_bytes or emitted * 100,
            wall_s=wall_s,
            figures=[StageFigures(call.pool, process_s=wall_s, tasks_in=finished)],
            **report,
        ),
    )


def died(worker: int, reason: str = "killed") -> WorkerDied:
    return WorkerDied(worker, reason)


def batch_error(stage: int = 0, tasks: int = 1, **options: Any) -> BatchError:
    return BatchError(stage, tasks, ("0_0",), "ValueError", "bad input", "", **options)
