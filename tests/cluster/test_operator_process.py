"""The test bed as a whole: the operator as a process, KubeRay's pods, simulated heads.

One pipeline goes all the way; what the operator does in each case has tests of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pod_status import running
from tests.cluster.processes import eventually
from tests.cluster.ray_heads import RayHeads
from tests.cluster.ray_jobs import Script

PIPELINE = {
    "apiVersion": "curator.dev/v1alpha1",
    "kind": "CuratorPipeline",
    "metadata": {"name": "clean"},
    "spec": {
        "stages": [
            {
                "name": "read",
                "class": "curator_executor.stages.JsonlReader",
                "args": {"paths": ["/data/*.jsonl"]},
            }
        ],
        "cluster": {
            "head": {"resources": {"cpus": 1, "memory": "2Gi"}},
            "workerGroups": [
                {
                    "name": "cpu",
                    "minReplicas": 1,
                    "maxReplicas": 1,
                    "resources": {"cpus": 1, "memory": "2Gi"},
                }
            ],
        },
    },
}


def pipeline(control_plane: ControlPlane, namespace: str) -> Any:
    return json.loads(control_plane.kubectl("get", "cpl", "clean", "-n", namespace, "-o", "json"))


def test_pipeline_runs_to_its_end_and_is_submitted_once(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    ray_heads: RayHeads,
    namespace: str,
    operator_process: Callable[..., OperatorProcess],
) -> None:
    """The operator is killed while it runs, which changes nothing."""

    def phase() -> str:
        return str(pipeline(control_plane, namespace).get("status", {}).get("phase"))

    operator = operator_process(CURATOR_POLL_INTERVAL_S="1", CURATOR_POLL_JITTER_S="0.1")
    ray_heads.script = Script(running_s=1000)
    kubelet.let(running, namespace)
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(PIPELINE))
    eventually(lambda: phase() == "Running", "the pipeline runs", within_s=60)
    operator.restart()
    ray_heads.advance(1001)
    eventually(lambda: phase() == "Succeeded", "the pipeline succeeds", within_s=60)
    submission_id = pipeline(control_plane, namespace)["status"]["submissionId"]
    assert ray_heads.submissions(submission_id) == 1
    assert operator.stop() == 0
