"""Stories of a stage that fails: what `kubectl` tells of it, and how often it is tried."""

from __future__ import annotations

import pytest

from tests.e2e.pipelines import numbers, pipeline, stage
from tests.e2e.team import Team


def test_a_failing_stage_is_named_with_its_error(team: Team) -> None:
    stages = numbers(4, 2, 0.05)
    stages.insert(3, stage("embed", "FailsAt", {"number": 5}))
    team.apply(pipeline("fails", stages, image=team.image))

    status = team.wait_for_phase("fails", "Failed")

    failed = next(each for each in status["conditions"] if each["type"] == "Failed")
    assert failed["reason"] == "StageFailed"
    assert "embed" in failed["message"]
    assert "cannot embed number 5" in failed["message"]
    assert status["attempt"] == 1, "another attempt would fail as well"
    described = team.kubectl("describe", "cpl", "fails")
    assert "StageFailed" in described
    assert "cannot embed number 5" in described
    (row,) = team.kubectl("get", "cpl", "fails", "--no-headers").splitlines()
    assert "Failed" in row.split()


@pytest.mark.long
def test_failures_may_be_let_pass_and_are_counted(team: Team) -> None:
    stages = numbers(4, 2, 0.05)
    stages.insert(3, stage("embed", "FailsAt", {"number": 5}))
    execution = {"ignoreFailures": True, "autoscaleIntervalSeconds": 10}
    team.apply(pipeline("tolerant", stages, image=team.image, execution=execution))

    status = team.wait_for_phase("tolerant", "Succeeded")

    embed = next(each for each in status["stages"] if each["name"] == "embed")
    assert (embed["done"], embed["failed"]) == (7, 1)
    (failure,) = status["failures"]
    assert failure["stage"] == "embed"
    assert "cannot embed number 5" in failure["message"]
    assert [each["number"] for each in team.saved().values()] == [0, 1, 2, 3, 4, 6, 7]


@pytest.mark.long
def test_stage_failures_are_tried_again_where_that_is_asked_for(team: Team) -> None:
    stages = [*numbers(1, 1, 0.05)[:2], stage("embed", "FailsAt", {"number": 0})]
    again = {"retryOn": ["StageFailed"], "backoffLimit": 1}
    team.apply(pipeline("stubborn", stages, image=team.image, **again))

    status = team.wait_for_phase("stubborn", "Failed")

    assert status["attempt"] == 2
    failed = next(each for each in status["conditions"] if each["type"] == "Failed")
    assert "cannot embed number 0" in failed["message"]
