"""Story: no worker pods until there is work for them, and none when it is done."""

from __future__ import annotations

import pytest

from tests.e2e.pipelines import DATA_FOLDER, gpu_group, group, pipeline, stage
from tests.e2e.team import Team

SHARDS = 40


@pytest.mark.long
def test_demand_brings_pods_and_they_go_when_idle(team: Team) -> None:
    half = {"resources": {"cpus": 0.25, "gpus": 0.5}, "workerGroups": ["l4"]}
    cpu = {"workerGroups": ["cpu"]}
    stages = [
        stage("shards", "Shards", {"count": SHARDS}, **cpu),
        stage("embed", "Work", {"seconds": 1.0}, workers={"max": 4}, **half),
        # Longer than the minute after which the autoscaler takes an idle pod away.
        stage("pause", "Work", {"seconds": 2.5, "note": "paused"}, workers={"count": 1}, **cpu),
        stage("save", "Save", {"folder": f"{DATA_FOLDER}/out"}, **cpu),
    ]
    scaled = gpu_group("l4", "Fake-L4", 1, minReplicas=0, maxReplicas=2)
    team.apply(pipeline("from-zero", stages, group("cpu"), scaled, image=team.image))

    team.wait(
        "from-zero",
        lambda status: status.get("phase") == "Running",
        "running, with no GPU pod asked for by the manifest",
    )
    team.wait("from-zero", lambda _: _gpu_pods(team), "a pod of the group")
    team.wait("from-zero", lambda _: not _gpu_pods(team), "no pods of the group, as they are idle")
    assert team.status("from-zero")["phase"] == "Running", "they went before the pipeline ended"
    team.wait_for_phase("from-zero", "Succeeded")

    saved = team.saved().values()
    assert len(saved) == SHARDS
    # The work was done on pods that were not there at the start.
    assert {each["worked"]["labels"]["curator.dev/worker-group"] for each in saved} == {"l4"}


def _gpu_pods(team: Team) -> list[str]:
    return [
        str(each["metadata"]["name"])
        for each in team.pods("from-zero")
        if each["metadata"]["labels"].get("curator.dev/worker-group") == "l4"
    ]
