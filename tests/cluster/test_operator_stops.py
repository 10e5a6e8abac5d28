"""SIGTERM: the operator ends in time, whatever it waits for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pod_status import running
from tests.cluster.processes import eventually
from tests.cluster.ray_heads import Asked, Fault, RayHeads
from tests.cluster.test_operator_process import PIPELINE

# What the operator promises; Kubernetes would wait 30 s.
ENDS_WITHIN_S = 10.0


def timed(operator: OperatorProcess) -> tuple[int, float]:
    """Exit status and seconds until it came."""
    began = time.monotonic()
    return operator.stop(), time.monotonic() - began


def test_an_idle_operator_ends_at_once(
    curator_crd: None, operator_process: Callable[..., OperatorProcess]
) -> None:
    status, took_s = timed(operator_process())
    assert status == 0
    assert took_s < ENDS_WITHIN_S


def test_an_operator_ends_in_time_while_a_head_does_not_answer(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    ray_heads: RayHeads,
    namespace: str,
    operator_process: Callable[..., OperatorProcess],
) -> None:
    """A submission hangs when the signal comes: the look is cut short, and nothing is lost."""
    operator = operator_process(CURATOR_REQUEST_TIMEOUT_S="60")
    kubelet.let(running, namespace)
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(PIPELINE))

    def cluster() -> str:
        text = control_plane.kubectl("get", "cpl", "clean", "-n", namespace, "-o", "json")
        found: dict[str, Any] = json.loads(text)
        return str(found.get("status", {}).get("rayCluster", ""))

    head = ray_heads.head(namespace, eventually(cluster, "the status names the RayCluster"))
    head.fail_next(Fault.NO_ANSWER, Asked.SUBMIT)
    eventually(lambda: head.asked[Asked.SUBMIT], "a submission hangs")
    status, took_s = timed(operator)
    assert status == 0
    assert took_s < ENDS_WITHIN_S
    lines = [line["event"] for line in operator.log_events()]
    assert "looks cut short" in lines
    assert lines[-1] == "stopped"
