"""The operator dies at every step of a pipeline's life, and everything is made once.

The steps are the operator's own fault points: before and after each action, and each write of a
status.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from curator_operator.cluster.faults import POINTS
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pod_status import running
from tests.cluster.processes import ProgramEnded, eventually
from tests.cluster.ray_heads import RayHeads
from tests.cluster.ray_jobs import Script
from tests.cluster.test_operator_process import PIPELINE

# Those of a life without trouble, in the order in which they come. Where one follows at once, dying
# after the first is dying before the second.
BEGIN = [
    "before:WriteStatus",
    "after:WriteStatus",
    "after:AddFinalizer",
    "after:CreateSecret",
    "after:CreateConfigMap",
    "after:CreateRayCluster",
    "before:EmitEvent",
    "before:SubmitJob",
    "after:SubmitJob",
    "after:EmitEvent",
]
END = [
    "before:WriteStatus",
    "after:WriteStatus",
    "after:RemoveFinalizer",
    "after:DeleteRayCluster",
    "after:DeleteChild",
]
DIES_WITHIN_S = 60.0
QUICK = {"CURATOR_POLL_INTERVAL_S": "0.5", "CURATOR_POLL_JITTER_S": "0.1"}


class Life:
    """One pipeline, and an operator that is ended at a fault point again and again."""

    def __init__(
        self,
        control_plane: ControlPlane,
        namespace: str,
        start: Callable[..., OperatorProcess],
    ) -> None:
        self._custom = client.CustomObjectsApi(control_plane.api)
        self._namespace = namespace
        self._start = start

    def die(self, *faults: str) -> None:
        """The operator starts, gets to the fault point, and ends there; for each of them."""
        for fault in faults:
            with pytest.raises(ProgramEnded, match='"event": "fault point"'):
                self._run(fault)

    def _run(self, fault: str) -> None:
        operator = self._start(CURATOR_FAULT=fault, **QUICK)
        operator.program.wait_until(lambda: None, f"ends {fault}", DIES_WITHIN_S)

    def clusters(self) -> list[dict[str, Any]]:
        """The namespace's RayClusters."""
        found: Any = self._custom.list_namespaced_custom_object(
            "ray.io", "v1", self._namespace, "rayclusters"
        )
        return list(found["items"])

    def pipeline(self) -> dict[str, Any]:
        """The pipeline."""
        found: Any = self._custom.get_namespaced_custom_object(
            "curator.dev", "v1alpha1", self._namespace, "curatorpipelines", "clean"
        )
        return dict(found)


@pytest.mark.timeout(300)
def test_an_operator_that_dies_at_every_step_makes_everything_once(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    ray_heads: RayHeads,
    namespace: str,
    operator_process: Callable[..., OperatorProcess],
) -> None:
    ray_heads.script = Script(running_s=1000)
    kubelet.let(running, namespace)
    life = Life(control_plane, namespace, operator_process)
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(PIPELINE))
    life.die(*BEGIN)
    assert [one["metadata"]["name"][-2:] for one in life.clusters()] == ["-1"]
    ray_heads.advance(1001)
    life.die(*END)
    operator_process(**QUICK)
    eventually(lambda: not life.clusters(), "the RayCluster is deleted")
    left = life.pipeline()
    status = left["status"]
    assert (status["phase"], status["attempt"], status["retriesUsed"]) == ("Succeeded", 1, 0)
    assert "finalizers" not in left["metadata"]
    assert ray_heads.submissions(status["submissionId"]) == 1


def test_every_fault_point_has_its_death() -> None:
    """Those of a life with trouble are the chaos tests' of the plan."""
    tried = {fault.split(":")[1] for fault in (*BEGIN, *END)}
    untried = {"PatchRayCluster", "DrainDriver", "StopJob", "DeletePipeline"}
    assert tried | untried == set(POINTS)
