"""The operator with the rights that the chart gives it: none is missing, and none is too much.

What it asks for is read from the API server's audit log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.chart.audit import AuditedControlPlane, Right, service_account
from tests.cluster.chart.helm import RELEASE, SYSTEM
from tests.cluster.chart.installed import Installed
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator, ray_cluster
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pod_status import running
from tests.cluster.processes import eventually
from tests.cluster.ray_heads import RayHeads
from tests.cluster.ray_jobs import Script

WHERE = ("curator.dev", "v1alpha1")
PLURAL = "curatorpipelines"
USER = service_account(SYSTEM, RELEASE)
OWNER = Right("curator.dev", "curatorpipelines/finalizers", "update")
SMALL = {"resources": {"cpus": 1, "memory": "2Gi"}}
STAGE = {"name": "read", "class": "curator_executor.stages.JsonlReader"}


class Team:
    """The pipelines of a namespace."""

    def __init__(self, plane: AuditedControlPlane, namespace: str) -> None:
        self._api = client.CustomObjectsApi(plane.api)
        self._place = (*WHERE, namespace, PLURAL)

    def create(self, name: str, cluster: dict[str, Any], **spec: Any) -> None:
        self._api.create_namespaced_custom_object(
            *self._place,
            {
                "apiVersion": "/".join(WHERE),
                "kind": "CuratorPipeline",
                "metadata": {"name": name},
                "spec": {"stages": [STAGE], "cluster": cluster, **spec},
            },
        )

    def change(self, name: str, body: dict[str, Any]) -> None:
        self._api.patch_namespaced_custom_object(
            *self._place, name, body, _content_type="application/merge-patch+json"
        )

    def delete(self, name: str) -> None:
        self._api.delete_namespaced_custom_object(*self._place, name)

    def get(self, name: str) -> Any:
        """The pipeline, or None."""
        try:
            return self._api.get_namespaced_custom_object(*self._place, name)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def phase(self, name: str) -> str:
        found = self.get(name)
        return str(found.get("status", {}).get("phase", "")) if found else "(gone)"

    def await_phase(self, name: str, phase: str) -> None:
        eventually(lambda: self.phase(name) == phase, f"{name} is {phase}", within_s=90)


def own_cluster(most: int) -> dict[str, Any]:
    group = {"name": "cpu", "minReplicas": 1, "maxReplicas": most, **SMALL}
    return {"head": SMALL, "workerGroups": [group]}


@pytest.fixture
def heads(
    chart_heads: RayHeads, chart_kuberay: KubeRayOperator, chart_kubelet: Kubelet, team: str
) -> RayHeads:
    """Whatever is made in the namespace runs."""
    chart_kubelet.let(running, team)
    chart_heads.script = Script(running_s=1000)
    return chart_heads


def settings(heads: RayHeads) -> dict[str, str]:
    return {
        "CURATOR_DASHBOARD_URL": heads.url_template,
        "CURATOR_DRIVER_URL": heads.url_template,
        "CURATOR_POLL_INTERVAL_S": "1",
        "CURATOR_POLL_JITTER_S": "0.1",
    }


@pytest.mark.parametrize("everywhere", [False, True], ids=["namespace", "everywhere"])
def test_every_right_is_used_and_none_is_missing(
    chart_plane: AuditedControlPlane,
    release: Installed,
    operator_of: Callable[..., OperatorProcess],
    heads: RayHeads,
    team: str,
    everywhere: bool,
) -> None:
    """Lives of pipelines that between them need all that the operator may do."""
    release.install({} if everywhere else {"watchNamespaces": [team]})
    before = len(chart_plane.requests(USER))
    operator = operator_of(**settings(heads))
    pipelines = Team(chart_plane, team)

    # Looked at in an existing cluster.
    chart_plane.kubectl("create", "-n", team, "-f", "-", given=json.dumps(ray_cluster("shared")))
    pipelines.create("guest", {"existing": {"name": "shared"}})
    # Edited by somebody while the operator writes: it reads the newer version.
    pipelines.create("clean", own_cluster(1))
    edits = iter(range(100_000))

    def overtaken() -> bool:
        for _ in range(20):
            label = {"edit": str(next(edits))}
            pipelines.change("clean", {"metadata": {"labels": label}})
        return Right(*WHERE[:1], PLURAL, "get") in chart_plane.used(USER, before)

    eventually(overtaken, "an edit comes first", within_s=60)
    pipelines.create("brief", own_cluster(1), ttlSecondsAfterFinished=1)
    pipelines.await_phase("clean", "Running")
    pipelines.await_phase("brief", "Running")
    # Grown while it runs.
    pipelines.change("clean", {"spec": {"cluster": own_cluster(2)}})
    eventually(
        lambda: Right("ray.io", "rayclusters", "patch") in chart_plane.used(USER, before),
        "the RayCluster is changed",
    )
    heads.advance(1001)
    pipelines.await_phase("clean", "Succeeded")
    pipelines.await_phase("brief", "(gone)")
    # Started anew, it looks for what its predecessor may have left.
    operator.stop()
    operator.start()
    eventually(
        lambda: Right("", "configmaps", "get") in chart_plane.used(USER, before),
        "leftovers are looked for",
    )
    for name in ("clean", "guest"):
        pipelines.delete(name)
        pipelines.await_phase(name, "(gone)")
    assert operator.stop() == 0

    assert chart_plane.refused(USER, before) == []
    assert "Forbidden" not in operator.log_text()
    assert release.rights(RELEASE) - {OWNER} == chart_plane.used(USER, before)


def test_operator_cannot_own_children_without_the_right_to_block_deletion(
    chart_plane: AuditedControlPlane,
    release: Installed,
    operator_of: Callable[..., OperatorProcess],
    heads: RayHeads,
    team: str,
) -> None:
    """That right makes no request of its own: taken away, the children are refused."""
    release.install({"watchNamespaces": [team]})
    name = f"{SYSTEM}-{RELEASE}"
    rules = release.get("role", name, team)["rules"]
    (index,) = [
        number for number, rule in enumerate(rules) if rule["resources"] == [OWNER.resource]
    ]
    patch = json.dumps([{"op": "remove", "path": f"/rules/{index}"}])
    chart_plane.kubectl("patch", "role", name, "-n", team, "--type=json", "-p", patch)
    operator = operator_of(**settings(heads))
    Team(chart_plane, team).create("clean", own_cluster(1))
    eventually(
        lambda: "cannot set blockOwnerDeletion" in operator.log_text(), "a refusal is logged"
    )


def test_operator_reads_the_token_of_an_existing_cluster_where_that_is_granted(
    chart_plane: AuditedControlPlane, release: Installed, team: str
) -> None:
    """That Secret alone, and no other."""
    release.install(
        {
            "watchNamespaces": [team],
            "rbac": {"existingClusterSecrets": [{"namespace": team, "name": "shared-token"}]},
        }
    )

    def may(name: str) -> str:
        ran = chart_plane.try_kubectl(
            "auth", "can-i", "get", f"secret/{name}", "-n", team, f"--as={USER}"
        )
        return ran.stdout.strip()

    assert (may("shared-token"), may("another")) == ("yes", "no")
