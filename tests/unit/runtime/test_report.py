"""What a snapshot says of the state of a run."""

from __future__ import annotations

from curator_executor.runtime.report import Reporter
from tests.unit.core.states import after, bring_up, died, run_of


def test_a_run_that_has_begun_does_not_start_again() -> None:
    """On a cluster the operator took the last seconds of a run for its first.

    1. The last stage's only worker is stopped or dies, while a task of it is still to be done.
    2. Its successor is starting; no other worker is there.
    3. A snapshot is made.
    """
    state = run_of({}, {})
    reporter = Reporter(state, "p", ("s0", "s1"))
    assert reporter.snapshot(0.0).state == "Starting"
    bring_up(state, *state.workers or (1,))
    assert reporter.snapshot(1.0).state == "Running"

    for worker in list(state.workers):
        after(state, died(worker))

    assert not any(worker.hosted for worker in state.workers.values())
    assert reporter.snapshot(2.0).state == "Running"
