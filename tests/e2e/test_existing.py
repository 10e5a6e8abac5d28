"""Story: a RayCluster that is there already serves two pipelines, one after the other."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.system import System
from tests.e2e.team import Team

SHARED = "shared"
TOKEN_SECRET = "shared-token"


def test_a_shared_cluster_runs_two_pipelines_and_is_left_as_it_was(
    alone: None, team: Team, system: System
) -> None:
    system.install({"rbac": {"existingClusterSecrets": [{"namespace": team.name, "name": SHARED}]}})
    team.apply(_ray_cluster(team.image))
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
    one = pipeline(name, numbers(4, 2, 0.1, folder=name), image=team.image)
    token = {"name": SHARED}
    one["spec"]["cluster"] = {"existing": {"name": SHARED, "authSecretRef": token}}
    one["spec"]["artifacts"] = {"uri": f"file:///data/{name}-run"}
    del one["spec"]["image"]
    return one


def _work_of(team: Team) -> tuple[Any, list[str]]:
    """What nobody but its owner should change: the cluster's spec, and its pods."""
    cluster = json.loads(team.kubectl("get", "raycluster", SHARED, "-o", "json"))
    pods = team.listed("pods", "-l", f"ray.io/cluster={SHARED}")
    return cluster["spec"], sorted(each["metadata"]["uid"] for each in pods)


def _ray_cluster(image: str) -> dict[str, Any]:
    """What somebody else made, with the stories' code and volume in it."""
    made = pipeline(SHARED, [], image=image)["spec"]["cluster"]
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "image": image,
        "env": made["env"],
        "securityContext": security,
        "volumeMounts": made["volumeMounts"],
        "resources": {
            "limits": {"cpu": "1", "memory": "2Gi"},
            "requests": {"cpu": "250m", "memory": "512Mi"},
        },
    }

    def template(name: str) -> dict[str, Any]:
        spec = {"containers": [{**container, "name": name}], "volumes": made["volumes"]}
        return {"spec": {**spec, "automountServiceAccountToken": False}}

    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": SHARED},
        "spec": {
            "rayVersion": "2.60.0",
            "authOptions": {"mode": "token"},
            "headGroupSpec": {
                "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0"},
                "template": template("ray-head"),
            },
            "workerGroupSpecs": [
                {
                    "groupName": "cpu",
                    "replicas": 1,
                    "minReplicas": 1,
                    "maxReplicas": 1,
                    "rayStartParams": {},
                    "template": template("ray-worker"),
                }
            ],
        },
    }
