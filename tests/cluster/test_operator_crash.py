"""The operator dies at every step of a pipeline's life, and everything is made once.

The steps are the operator's own fault points: before and after each action, and each write of a
status.
"""

from __future__ import annotations

import copy
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
    "after:DeleteConfigMap",
]
# Those of a life with trouble: edited while it runs, suspended, not draining, and forgotten.
TROUBLE = {
    "an edit": ["before:PatchRayCluster", "after:PatchRayCluster"],
    "a suspension": ["before:DrainDriver", "after:DrainDriver"],
    "a driver that does not drain": ["before:StopJob", "after:StopJob"],
    "the end of its time": ["before:DeletePipeline", "after:DeletePipeline"],
}
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

    def pipelines(self) -> list[dict[str, Any]]:
        """The pipeline, or nothing once it is gone."""
        found: Any = self._custom.list_namespaced_custom_object(
            "curator.dev", "v1alpha1", self._namespace, "curatorpipelines"
        )
        return list(found["items"])

    def pipeline(self) -> dict[str, Any]:
        """The pipeline."""
        (found,) = self.pipelines()
        return found

    def phase(self) -> str:
        """What its status says."""
        return str(self.pipeline().get("status", {}).get("phase"))

    def edit(self, spec: dict[str, Any]) -> None:
        """Its user changes fields of its spec."""
        self._custom.patch_namespaced_custom_object(
            "curator.dev",
            "v1alpha1",
            self._namespace,
            "curatorpipelines",
            "clean",
            {"spec": spec},
            _content_type="application/merge-patch+json",
        )


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


@pytest.mark.timeout(300)
def test_an_operator_that_dies_in_trouble_does_everything_once(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    ray_heads: RayHeads,
    namespace: str,
    operator_process: Callable[..., OperatorProcess],
) -> None:
    """Ranges of replicas are edited; then it is suspended, and its driver drains for ever."""
    ray_heads.script = Script(drain_s=1e6)
    kubelet.let(running, namespace)
    life = Life(control_plane, namespace, operator_process)
    made: dict[str, Any] = copy.deepcopy(PIPELINE)
    made["spec"] |= {"execution": {"drainSeconds": 0}}
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(made))
    operator = operator_process(**QUICK)
    eventually(lambda: life.phase() == "Running", "the pipeline runs", within_s=60)
    first = life.pipeline()["status"]["submissionId"]
    operator.kill()

    made["spec"]["cluster"]["workerGroups"][0]["maxReplicas"] = 2
    life.edit({"cluster": made["spec"]["cluster"]})
    life.die(*TROUBLE["an edit"])
    (cluster,) = life.clusters()
    assert cluster["spec"]["workerGroupSpecs"][0]["maxReplicas"] == 2

    life.edit({"suspend": True})
    life.die(*TROUBLE["a suspension"], *TROUBLE["a driver that does not drain"])
    operator = operator_process(**QUICK)
    eventually(lambda: life.phase() == "Suspended", "it is suspended", within_s=60)
    assert not life.clusters()
    operator.kill()

    ray_heads.script = Script(running_s=0.1)
    life.edit({"suspend": False, "ttlSecondsAfterFinished": 0})
    life.die(*TROUBLE["the end of its time"])
    assert life.pipelines() == []
    assert ray_heads.submissions(first) == 1
    assert ray_heads.submissions(f"{first.rpartition('-')[0]}-2") == 1


def test_every_fault_point_has_its_death() -> None:
    trouble = [fault for faults in TROUBLE.values() for fault in faults]
    assert {fault.split(":")[1] for fault in (*BEGIN, *END, *trouble)} == set(POINTS)
