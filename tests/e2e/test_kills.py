"""Stories of what dies on the way: the operator in each phase, a worker, the head."""

from __future__ import annotations

import pytest

from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.system import System
from tests.e2e.team import Team

ALL = list(range(60))


@pytest.mark.parametrize("phase", [pytest.param("Starting", marks=pytest.mark.long), "Running"])
def test_the_operator_may_die_in_any_phase(
    alone: None, team: Team, system: System, phase: str
) -> None:
    team.apply(pipeline("survivor", numbers(30, 2, 0.3), image=team.image))
    team.wait_for_phase("survivor", phase)

    system.kill_operator()

    system.wait_until_ready()
    status = team.wait_for_phase("survivor", "Succeeded")
    assert status["attempt"] == 1
    assert len(team.events("survivor")) == len(set(team.events("survivor"))), "nothing done twice"
    assert _numbers(team) == ALL


@pytest.mark.long
def test_a_worker_pod_that_dies_is_made_up_for(team: Team) -> None:
    team.apply(pipeline("replaced", numbers(30, 2, 0.5), image=team.image))
    team.wait_for_progress("replaced")

    label = "curator.dev/pipeline=replaced,ray.io/node-type=worker"
    team.kubectl("delete", "pod", "-l", label, "--grace-period=0", "--force")

    status = team.wait_for_phase("replaced", "Succeeded")
    assert status["attempt"] == 1
    assert _numbers(team) == ALL


def test_a_head_pod_that_dies_begins_another_attempt(team: Team) -> None:
    team.apply(pipeline("again", numbers(30, 2, 0.5), image=team.image))
    team.wait_for_progress("again")

    team.kubectl("delete", "pod", team.head("again"), "--grace-period=0", "--force")

    status = team.wait_for_phase("again", "Succeeded")
    assert status["attempt"] == 2
    assert "AttemptLost" in team.events("again")
    assert _numbers(team) == ALL


def _numbers(team: Team) -> list[int]:
    return [int(each["number"]) for each in team.saved().values()]
