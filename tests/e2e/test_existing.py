"""Story: a RayCluster that is there already serves two pipelines, one after the other."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.pipelines import numbers
from tests.e2e.shared_cluster import SHARED, may_read_token, on_shared_cluster, ray_cluster
from tests.e2e.system import System
from tests.e2e.team import Team


def test_a_shared_cluster_runs_two_pipelines_and_is_left_as_it_was(
    alone: None, team: Team, system: System
) -> None:
    system.install(may_read_token(team.name))
    team.apply(ray_cluster(team.image))
    team.kubectl("wait", "raycluster", SHARED, "--for=condition=HeadPodReady", "--timeout=120s")
    before = _work_of(team)

    for name in ("first", "second"):
        team.apply(_on_the_shared_cluster(team, name))
        team.wait_for_phase(name, "Succeeded")

        assert [each["number"] for each in team.saved(name).values()] == list(range(8))
        artifacts = team.data / f"{name}-run"
        assert "report.html" in {path.name for path in artifacts.rglob("*")}

    assert _work_of(team) == before
    assert [each["metadata"]["name"] for each in team.listed("raycluster")] == [SHARED]
    team.kubectl("delete", "cpl", "first", "second", "--timeout=60s")
    assert [each["metadata"]["name"] for each in team.listed("raycluster")] == [SHARED]


def _on_the_shared_cluster(team: Team, name: str) -> dict[str, Any]:
    one = on_shared_cluster(name, numbers(4, 2, 0.1, folder=name), image=team.image)
    one["spec"]["artifacts"] = {"uri": f"file:///data/{name}-run"}
    return one


def _work_of(team: Team) -> tuple[Any, list[str]]:
    """What nobody but its owner should change: the cluster's spec, and its pods."""
    cluster = json.loads(team.kubectl("get", "raycluster", SHARED, "-o", "json"))
    pods = team.listed("pods", "-l", f"ray.io/cluster={SHARED}")
    return cluster["spec"], sorted(each["metadata"]["uid"] for each in pods)
