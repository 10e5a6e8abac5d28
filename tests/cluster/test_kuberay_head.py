"""What becomes of a head that is lost: it is not made again, so that the loss cannot be missed."""

from __future__ import annotations

from typing import Any

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator, condition
from tests.cluster.kuberay_children import (
    MadePipeline,
    make_children,
    pipeline_in,
    restricted_namespace,
)
from tests.cluster.pod_status import failed, running
from tests.cluster.processes import eventually
from tests.unit.operator.desired.scenarios import MINIMAL

Json = dict[str, Any]


def is_so(this: MadePipeline, kind: str, status: str) -> bool:
    found = condition(this.cluster(), kind)
    return found is not None and found["status"] == status


def provisioned(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, text: str
) -> MadePipeline:
    """A pipeline whose pods all were ready once."""
    kubelet.let(running, namespace)
    this = pipeline_in(control_plane, namespace, text)
    make_children(this)
    eventually(lambda: is_so(this, "RayClusterProvisioned", "True"), "all pods were ready")
    return this


def test_head_that_is_lost_is_not_made_again(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    curator_crd: None,
) -> None:
    with restricted_namespace(control_plane, "head lost") as namespace:
        this = provisioned(control_plane, kubelet, namespace, MINIMAL)
        (head,) = this.pods("headgroup")
        kubelet.happen(failed, namespace, head["metadata"]["name"])
        eventually(lambda: is_so(this, "HeadPodReady", "False"), "KubeRay sees that it is gone")
        eventually(
            lambda: any(
                "Skipped head recreation" in line and this.name in line
                for line in kuberay_operator.log_text().splitlines()
            ),
            "KubeRay leaves it at that",
        )
        assert this.pods("headgroup") == []
        found = condition(this.cluster(), "HeadPodReady")
        assert found is not None
        assert found["reason"] == "HeadPodNotFound"


def test_head_comes_back_after_a_suspension_as_by_kueue(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    curator_crd: None,
) -> None:
    """KubeRay forgets that the cluster was provisioned; else pre-emption would end it for good."""
    with restricted_namespace(control_plane, "head back") as namespace:
        this = provisioned(control_plane, kubelet, namespace, MINIMAL)
        (before,) = this.pods("headgroup")
        this.patch([{"op": "add", "path": "/spec/suspend", "value": True}])
        eventually(lambda: is_so(this, "RayClusterSuspended", "True"), "it is suspended")
        assert this.pods() == []
        this.patch([{"op": "add", "path": "/spec/suspend", "value": False}])
        (after,) = this.wait_for_pods("headgroup", 1)
        assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_head_that_never_was_ready_is_made_again(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    curator_crd: None,
) -> None:
    with restricted_namespace(control_plane, "head again") as namespace:
        this = pipeline_in(control_plane, namespace, MINIMAL)
        make_children(this)
        (before,) = this.wait_for_pods("headgroup", 1)
        kubelet.happen(failed, namespace, before["metadata"]["name"])

        def another() -> bool:
            found = [pod["metadata"]["uid"] for pod in this.pods("headgroup")]
            return bool(found) and before["metadata"]["uid"] not in found

        eventually(another, "KubeRay makes another head")
