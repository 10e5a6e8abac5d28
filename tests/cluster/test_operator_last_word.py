"""The driver's last word reaches the status, whenever the operator dies and however long it rests.

A driver serves its last snapshot until somebody has fetched it, for 20 s at most. After that only
what Ray keeps of the job can tell how the run ended.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pod_status import running
from tests.cluster.processes import eventually
from tests.cluster.ray_heads import RayHeads
from tests.cluster.ray_jobs import Job, Script
from tests.cluster.test_operator_crash import QUICK, Life
from tests.cluster.test_operator_process import PIPELINE

RUNS_S = 1000.0
FAILS = Script(running_s=RUNS_S, exit_code=1, message="stage embed failed: CUDA error")


class Ending(Life):
    """A pipeline that runs, whose operator was just killed."""

    def __init__(
        self,
        control_plane: ControlPlane,
        namespace: str,
        start: Callable[..., OperatorProcess],
        heads: RayHeads,
    ) -> None:
        super().__init__(control_plane, namespace, start)
        self._control_plane = control_plane
        self.heads = heads

    def reach_running(self, script: Script, **spec: Any) -> None:
        """Make it, wait until its job runs and was polled, and kill the operator."""
        self.heads.script = script
        made: dict[str, Any] = copy.deepcopy(PIPELINE)
        made["spec"] |= spec
        given = json.dumps(made)
        self._control_plane.kubectl("create", "-n", self._namespace, "-f", "-", given=given)
        operator = self._start(**QUICK)
        eventually(lambda: "progress" in self.status(), "its progress is shown", within_s=60)
        operator.kill()

    def status(self) -> dict[str, Any]:
        """Of the pipeline."""
        return dict(self.pipeline().get("status", {}))

    def job(self) -> Job:
        """That of its present attempt."""
        status = self.status()
        head = self.heads.head(self._namespace, status["rayCluster"])
        return head.jobs[status["submissionId"]]

    def end(self) -> dict[str, Any]:
        """An operator runs until the pipeline has ended; the status then."""
        self._start(**QUICK)
        eventually(lambda: "completionTime" in self.status(), "the pipeline ends", within_s=60)
        return self.status()


@pytest.fixture
def ending(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    ray_heads: RayHeads,
    namespace: str,
    operator_process: Callable[..., OperatorProcess],
) -> Ending:
    kubelet.let(running, namespace)
    return Ending(control_plane, namespace, operator_process, ray_heads)


def reason(status: dict[str, Any]) -> str:
    """Of its end."""
    return {one["type"]: str(one["reason"]) for one in status["conditions"]}["Finished"]


@pytest.mark.timeout(240)
def test_a_failed_stage_is_told_though_the_operator_that_heard_of_it_dies(ending: Ending) -> None:
    """1. A stage fails; the driver serves its last snapshot until somebody has fetched it.
    2. The operator fetches it, and the driver ends.
    3. The operator dies before it has written that down.
    4. The next one finds a job that failed with exit code 1, and no driver to ask.
    """
    # However slowly the operator starts.
    ending.reach_running(replace(FAILS, linger_s=RUNS_S))
    ending.heads.advance(RUNS_S)
    # Its first write is that it has no progress yet, unless it has fetched some by then.
    ending.die("before:WriteStatus:2")
    job = ending.job()
    assert job.fetched_at is not None
    assert job.status(ending.heads.now()) == "FAILED"
    assert ending.phase() == "Running"
    status = ending.end()
    assert (status["phase"], reason(status)) == ("Failed", "StageFailed")
    assert status["message"] == FAILS.message
    assert status["stages"][1]["name"] == "embed"


@pytest.mark.timeout(240)
def test_a_stage_that_failed_while_no_operator_ran_is_tried_again(ending: Ending) -> None:
    ending.reach_running(FAILS, retryOn=["StageFailed"])
    ending.heads.advance(RUNS_S + 600)
    assert ending.job().fetched_at is None
    ending.heads.script = Script(running_s=0.1)
    status = ending.end()
    assert (status["phase"], reason(status)) == ("Succeeded", "Succeeded")
    assert (status["attempt"], status["retriesUsed"]) == (2, 1)


@pytest.mark.timeout(240)
def test_all_is_counted_that_was_done_while_no_operator_ran(ending: Ending) -> None:
    ending.reach_running(Script(running_s=RUNS_S))
    assert ending.status()["progress"]["inputsDone"] < 1000
    ending.heads.advance(RUNS_S + 600)
    status = ending.end()
    assert status["progress"]["inputsDone"] == 1000
    assert status["message"] == "the run is done: 1,000 inputs"
