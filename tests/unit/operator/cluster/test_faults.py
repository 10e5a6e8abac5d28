"""Fault points end the process where a test wants it, and nowhere else."""

from __future__ import annotations

import pytest

from curator_operator.cluster.faults import POINTS, Fault, FaultError, Faults, parse
from curator_operator.reconcile.actions import ACTIONS


def test_every_action_and_the_status_are_fault_points() -> None:
    assert set(POINTS) == {"WriteStatus", *(action.__name__ for action in ACTIONS)}


def test_a_fault_says_when_what_and_which_time() -> None:
    assert parse("before:CreateRayCluster") == Fault("before", "CreateRayCluster", 1)
    assert parse("after:WriteStatus:3") == Fault("after", "WriteStatus", 3)


@pytest.mark.parametrize(
    "text",
    ["CreateRayCluster", "during:SubmitJob", "before:Nothing", "after:SubmitJob:0", "after:x:y:z"],
)
def test_a_fault_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(FaultError, match="CURATOR_FAULT: wanted"):
        parse(text)


def test_the_process_ends_at_the_nth_time_only() -> None:
    ends: list[str] = []
    faults = Faults(Fault("after", "SubmitJob", 2), end=lambda: ends.append("end"))
    faults.at("before", "SubmitJob")
    faults.at("after", "SubmitJob")
    faults.at("after", "WriteStatus")
    assert ends == []
    faults.at("after", "SubmitJob")
    faults.at("after", "SubmitJob")
    assert ends == ["end"]


def test_without_the_variable_nothing_ends() -> None:
    Faults.from_environment({}).at("before", "SubmitJob")
