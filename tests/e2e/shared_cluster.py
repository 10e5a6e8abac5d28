"""A RayCluster that somebody made without the operator, and pipelines that run on it."""

from __future__ import annotations

from typing import Any

from tests.e2e.pipelines import Resource, pipeline

SHARED = "shared"


def may_read_token(namespace: str) -> Resource:
    """Values of the chart with which the operator reaches the cluster."""
    return {"rbac": {"existingClusterSecrets": [{"namespace": namespace, "name": SHARED}]}}


def on_shared_cluster(name: str, stages: list[Resource], image: str) -> Resource:
    """A pipeline that runs there."""
    one = pipeline(name, stages, image=image)
    one["spec"]["cluster"] = {"existing": {"name": SHARED, "authSecretRef": {"name": SHARED}}}
    del one["spec"]["image"]
    return one


def ray_cluster(image: str) -> dict[str, Any]:
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
