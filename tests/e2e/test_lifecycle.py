"""Stories of a pipeline's life: stopped and taken up again, ended by time, deleted half-way."""

from __future__ import annotations

import pytest

from tests.cluster.processes import eventually
from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.team import Team

GONE_WITHIN_S = 90.0


def test_a_suspended_pipeline_frees_its_pods_and_comes_back(team: Team) -> None:
    team.apply(pipeline("nightly", numbers(30, 2, 0.5), image=team.image))
    team.wait_for_progress("nightly")

    team.patch("nightly", {"suspend": True})
    team.wait_for_phase("nightly", "Suspended")
    eventually(lambda: not team.pods("nightly"), "no pods while suspended", GONE_WITHIN_S)
    kept = team.saved()
    assert kept, "what was finished before the suspension stays"

    team.patch("nightly", {"suspend": False})
    status = team.wait_for_phase("nightly", "Succeeded")
    assert status["attempt"] == 2
    assert [each["number"] for each in team.saved().values()] == list(range(60))
    assert {"Suspended", "Resumed"} <= set(team.events("nightly"))


@pytest.mark.long
def test_a_deadline_ends_a_pipeline_and_its_time_to_live_removes_it(team: Team) -> None:
    limits = {"activeDeadlineSeconds": 40, "ttlSecondsAfterFinished": 10}
    team.apply(pipeline("endless", numbers(1000, 1, 1.0), image=team.image, **limits))

    status = team.wait_for_phase("endless", "Failed")

    failed = next(each for each in status["conditions"] if each["type"] == "Failed")
    assert failed["reason"] == "DeadlineExceeded", failed
    eventually(lambda: team.has_nothing_of("endless"), "nothing left of it", GONE_WITHIN_S)


@pytest.mark.parametrize("phase", [pytest.param("Starting", marks=pytest.mark.long), "Running"])
def test_deleting_a_pipeline_leaves_nothing(team: Team, phase: str) -> None:
    team.apply(pipeline("brief", numbers(200, 2, 0.5), image=team.image))
    team.wait_for_phase("brief", phase)

    team.kubectl("delete", "cpl", "brief", f"--timeout={GONE_WITHIN_S:.0f}s")

    eventually(lambda: team.has_nothing_of("brief"), "nothing left of it", GONE_WITHIN_S)
