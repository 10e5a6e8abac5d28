"""A worker's life is one table; what is not in it raises."""

from __future__ import annotations

from itertools import product

import pytest

from curator_executor.core.lifecycle import IllegalMove, WorkerState, move

S = WorkerState
LEGAL = {
    (S.STARTING, S.CREATED),
    (S.STARTING, S.SETTING_UP),
    (S.CREATED, S.SETTING_UP),
    (S.SETTING_UP, S.READY),
    (S.READY, S.DRAINING),
    (S.DRAINING, S.READY),
    # A change of stage.
    (S.READY, S.CREATED),
    (S.READY, S.SETTING_UP),
    (S.DRAINING, S.CREATED),
    (S.DRAINING, S.SETTING_UP),
    # The end, from wherever it is.
    *((state, S.STOPPING) for state in S if state not in (S.STOPPING, S.GONE)),
    *((state, S.GONE) for state in S if state is not S.GONE),
}


@pytest.mark.parametrize(("before", "to"), sorted(LEGAL, key=str))
def test_legal_move_is_made(before: WorkerState, to: WorkerState) -> None:
    assert move(3, before, to) is to


@pytest.mark.parametrize(("before", "to"), [pair for pair in product(S, S) if pair not in LEGAL])
def test_illegal_move_says_who_and_what(before: WorkerState, to: WorkerState) -> None:
    with pytest.raises(IllegalMove, match=f"worker 3: {before.value} -> {to.value}"):
        move(3, before, to)
