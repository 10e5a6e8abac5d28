"""What is made for a pipeline is what the API server takes, with KubeRay's own schema."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from curator_operator.desired import raycluster, replica_patch
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kuberay_children import (
    RAYCLUSTERS,
    make_children,
    pipeline_in,
    restricted_namespace,
)
from tests.unit.operator.desired.scenarios import (
    AUTOSCALED,
    KUEUE,
    SETTINGS,
    SPECS,
    pipeline,
    spec_of,
    with_cluster,
)

Json = dict[str, Any]
OWN = [name for name in SPECS if name != "existing"]


def tried(control_plane: ControlPlane, namespace: str, body: Json) -> Json:
    """What the API server would make of a RayCluster."""
    made: Any = client.CustomObjectsApi(control_plane.api).create_namespaced_custom_object(
        *RAYCLUSTERS, namespace, "rayclusters", body, dry_run="All", field_validation="Strict"
    )
    return dict(made)


def missing(asked: Any, there: Any, path: str = "") -> list[str]:
    """Paths of what was asked for and is not there as it was asked for."""
    if isinstance(asked, dict) and isinstance(there, dict):
        found: list[str] = []
        for key, value in asked.items():
            found += missing(value, there.get(key), f"{path}.{key}")
        return found
    if isinstance(asked, list) and isinstance(there, list) and len(asked) == len(there):
        return [
            one
            for position, value in enumerate(asked)
            for one in missing(value, there[position], f"{path}[{position}]")
        ]
    return [] if asked == there else [path]


def in_namespace(body: Json, namespace: str) -> Json:
    return {**body, "metadata": {**body["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("name", OWN)
def test_ray_cluster_is_taken_field_by_field(
    control_plane: ControlPlane, kuberay_crds: None, namespace: str, name: str
) -> None:
    this = pipeline(KUEUE if name == "kueue" else {})
    asked = raycluster(this, spec_of(SPECS[name]), 1, SETTINGS)
    body = in_namespace(asked, namespace)
    assert missing(body, tried(control_plane, namespace, body)) == []


def test_misspelt_field_of_a_template_is_refused_when_asked_strictly(
    control_plane: ControlPlane, kuberay_crds: None, namespace: str
) -> None:
    """The operator hands templates on as they are; whoever creates has to ask for strictness."""
    spec = with_cluster(podTemplate={"spec": {"priorityClass": "batch"}})
    body = in_namespace(raycluster(pipeline(), spec, 1, SETTINGS), namespace)
    with pytest.raises(ApiException, match=r"unknown field .*priorityClass"):
        tried(control_plane, namespace, body)


def test_live_range_is_patched_and_a_stale_patch_is_refused(
    control_plane: ControlPlane, kuberay_crds: None, curator_crd: None
) -> None:
    with restricted_namespace(control_plane, "live range") as namespace:
        this = pipeline_in(control_plane, namespace, AUTOSCALED)
        make_children(this)
        wanted = yaml.safe_load(AUTOSCALED)
        wanted["cluster"]["workerGroups"][1] |= {"minReplicas": 2, "maxReplicas": 4}
        operations = replica_patch(this.cluster()["spec"], spec_of(yaml.safe_dump(wanted)))
        group = this.patch(operations)["spec"]["workerGroupSpecs"][1]
        assert (group["minReplicas"], group["maxReplicas"], group["replicas"]) == (2, 4, 0)
        with pytest.raises(ApiException) as refused:
            this.patch(operations)
        assert refused.value.status == 422
