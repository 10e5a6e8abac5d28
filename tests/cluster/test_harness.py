"""The test bed itself: what other tests here stand on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator, condition, ray_cluster
from tests.cluster.pod_status import (
    NO_GPU,
    crash_looping,
    image_pull_error,
    restarted,
    running,
    unschedulable,
)
from tests.cluster.processes import eventually

KUBERNETES = "v1.34.4"


def head_pod(control_plane: ControlPlane, namespace: str) -> Any:
    """The namespace's head pod; None while there is none."""
    pods = client.CoreV1Api(control_plane.api).list_namespaced_pod(
        namespace, label_selector="ray.io/node-type=head"
    )
    return pods.items[0] if pods.items else None


def head_condition(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, Any] | None:
    """HeadPodReady as KubeRay wrote it; None while it has not."""
    custom = client.CustomObjectsApi(control_plane.api)
    found: Any = custom.get_namespaced_custom_object("ray.io", "v1", namespace, "rayclusters", name)
    return condition(found, "HeadPodReady")


@pytest.fixture
def head(
    control_plane: ControlPlane, kuberay_operator: KubeRayOperator, kubelet: Kubelet, namespace: str
) -> str:
    """A RayCluster `one`, whose head pod KubeRay has made; the pod's name."""
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(ray_cluster("one")))
    pod: Any = eventually(lambda: head_pod(control_plane, namespace), "KubeRay makes a head pod")
    return str(pod.metadata.name)


def test_api_server_is_the_pinned_version(control_plane: ControlPlane) -> None:
    version = json.loads(control_plane.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == KUBERNETES


def test_kuberays_resources_are_established(
    control_plane: ControlPlane, kuberay_crds: None
) -> None:
    crd = json.loads(control_plane.kubectl("get", "crd", "rayclusters.ray.io", "-o", "json"))
    established = condition(crd, "Established")
    assert established
    assert established["status"] == "True"


def test_children_of_a_deleted_object_are_collected(
    control_plane: ControlPlane, kuberay_crds: None, namespace: str
) -> None:
    """Also where the owner is of a kind that was made known after the controllers began."""
    custom = client.CustomObjectsApi(control_plane.api)
    core = client.CoreV1Api(control_plane.api)
    where = ("ray.io", "v1", namespace, "rayclusters")
    suspended = ray_cluster("owner", suspend=True)
    made: Any = custom.create_namespaced_custom_object(*where, suspended)
    owner = {key: made[key] for key in ("apiVersion", "kind")}
    owner |= {"name": "owner", "uid": made["metadata"]["uid"], "controller": True}
    child: Any = {"metadata": {"name": "child", "ownerReferences": [owner]}}
    core.create_namespaced_config_map(namespace, child)
    custom.delete_namespaced_custom_object(*where, "owner")
    selector = "metadata.name=child"
    eventually(
        lambda: not core.list_namespaced_config_map(namespace, field_selector=selector).items,
        "the child is collected",
    )


def test_a_service_account_may_do_only_what_it_was_given(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    refused = control_plane.try_kubectl(
        f"--kubeconfig={kubeconfig}", "get", "pods", "-n", namespace
    )
    assert f"system:serviceaccount:{namespace}:default" in refused.stderr
    assert "forbidden" in refused.stderr


def test_running_head_makes_the_ray_cluster_ready(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, head: str
) -> None:
    def is_ready() -> bool:
        found = head_condition(control_plane, namespace, "one")
        return found is not None and found["status"] == "True"

    before = head_condition(control_plane, namespace, "one")
    assert before is None or before["status"] == "False"
    kubelet.let(running, namespace)
    eventually(is_ready, "KubeRay marks the head as ready")
    names = control_plane.kubectl("get", "services", "-n", namespace, "-o", "name").split()
    assert names == ["service/one-head-svc"]


def test_unschedulable_head_says_why(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, head: str
) -> None:
    kubelet.let(unschedulable, namespace)
    pod = head_pod(control_plane, namespace)
    said = {c.type: (c.status, c.reason, c.message) for c in pod.status.conditions}
    assert pod.status.phase == "Pending"
    assert pod.spec.node_name is None
    assert said == {"PodScheduled": ("False", "Unschedulable", NO_GPU)}


def test_image_that_cannot_be_pulled_is_said(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, head: str
) -> None:
    kubelet.let(image_pull_error, namespace)
    waiting = head_pod(control_plane, namespace).status.container_statuses[0].state.waiting
    assert waiting.reason == "ImagePullBackOff"
    assert "rayproject/ray" in waiting.message


def test_crash_loop_counts_its_restarts(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, head: str
) -> None:
    kubelet.let(running, namespace)
    for _ in range(2):
        kubelet.happen(crash_looping, namespace, head)
    status = head_pod(control_plane, namespace).status.container_statuses[0]
    assert status.state.waiting.reason == "CrashLoopBackOff"
    assert status.restart_count == 2
    assert not status.ready


def test_restarted_container_has_another_id(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, head: str
) -> None:
    kubelet.let(running, namespace)
    before = head_pod(control_plane, namespace).status.container_statuses[0]
    kubelet.happen(restarted, namespace, head)
    after = head_pod(control_plane, namespace).status.container_statuses[0]
    assert after.ready
    assert after.restart_count == before.restart_count + 1
    assert after.container_id != before.container_id


def test_deleted_pods_go_unless_their_node_is_gone(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str, head: str
) -> None:
    core: Any = client.CoreV1Api(control_plane.api)
    kubelet.let(running, namespace)
    kubelet.hold_deletions(namespace)
    core.delete_namespaced_pod(head, namespace)
    # The stand-in takes events in order: when it has come to this pod, it has passed the deletion.
    spec = {"containers": [{"name": "one", "image": "none"}]}
    core.create_namespaced_pod(namespace, {"metadata": {"name": "later"}, "spec": spec})
    eventually(
        lambda: core.read_namespaced_pod("later", namespace).status.phase == "Running",
        "the later pod runs",
    )
    assert core.read_namespaced_pod(head, namespace).metadata.deletion_timestamp
    kubelet.release_deletions(namespace)
    selector = f"metadata.name={head}"
    eventually(
        lambda: not core.list_namespaced_pod(namespace, field_selector=selector).items,
        "the pod is gone",
    )
