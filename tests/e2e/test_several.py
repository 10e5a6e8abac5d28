"""Story: several pipelines at once, in two namespaces, one of which cannot work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.pipelines import numbers, pipeline, stage
from tests.e2e.team import Team


@pytest.mark.long
def test_a_bad_pipeline_does_not_hold_up_good_ones(
    team: Team, another_team: Callable[[], Team]
) -> None:
    neighbours = another_team()
    broken = [*numbers(2, 1, 0.1)[:2], stage("embed", "FailsAt", {"number": 1})]
    team.apply(pipeline("good", numbers(6, 2, 0.2), image=team.image))
    team.apply(pipeline("bad", broken, image=team.image))
    neighbours.apply(pipeline("good", numbers(6, 2, 0.2), image=team.image))

    team.wait_for_phase("good", "Succeeded")
    neighbours.wait_for_phase("good", "Succeeded")
    team.wait_for_phase("bad", "Failed")

    for each in (team, neighbours):
        assert [one["number"] for one in each.saved().values()] == list(range(12))
