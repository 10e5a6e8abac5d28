"""Pipelines whose operator is the test, and the command line that is asked about them.

Used by `test_cli_on_cluster`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from curator_api.v1alpha1.status import (
    Condition,
    PipelineStatus,
    StageStatus,
    StatusProgress,
    StatusWorkers,
)
from curator_executor.cli import main
from tests.cluster.control_plane import ControlPlane
from tests.cluster.curator_resources import CuratorResources
from tests.cluster.processes import Program
from tests.cluster.test_operator_process import PIPELINE

BEGAN = "2026-11-24T15:00:00Z"
NO_NODE = "head pod clean-head: no node takes it: 0/3 nodes are available: 3 Insufficient cpu"


def condition(kind: Any, status: Any, reason: str, message: str = "") -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=BEGAN,
        observed_generation=1,
    )


STARTING = PipelineStatus(
    phase="Starting",
    attempt=1,
    start_time=BEGAN,
    message=NO_NODE,
    conditions=[condition("ClusterReady", "False", "Unschedulable", NO_NODE)],
)


def running(done: int) -> PipelineStatus:
    return PipelineStatus(
        phase="Running",
        attempt=1,
        start_time=BEGAN,
        message="attempt 1 runs",
        progress=StatusProgress(
            inputs_done=done, inputs_total=1000, percent=done // 10, inputs_per_second="2.50"
        ),
        stages=[StageStatus(name="read", workers=StatusWorkers(ready=1, wanted=1), done=done)],
    )


def over(reason: str) -> PipelineStatus:
    failed = reason not in ("Succeeded", "DeadLetters")
    return PipelineStatus(
        phase="Failed" if failed else "Succeeded",
        attempt=1,
        start_time=BEGAN,
        completion_time="2026-11-24T15:10:00Z",
        message="said at the end",
        conditions=[
            condition("Finished", "True", reason),
            condition("Failed" if failed else "Complete", "True", reason),
        ],
    )


class Pipelines:
    """The pipelines of the test's namespace, and the command line with their kubeconfig."""

    def __init__(self, control_plane: ControlPlane, namespace: str, directory: Path) -> None:
        self.control_plane = control_plane
        self.namespace = namespace
        self.directory = directory
        self._resources = CuratorResources(control_plane, namespace)
        self._programs: list[Program] = []

    def get(self, name: str = "clean") -> Any:
        """A pipeline."""
        ran = self.control_plane.kubectl("get", "cpl", name, "-n", self.namespace, "-o", "json")
        return json.loads(ran)

    def make(self, name: str = "clean", status: PipelineStatus | None = None) -> None:
        """Have a pipeline there, with a status."""
        self._resources.create({**PIPELINE, "metadata": {"name": name}})
        if status is not None:
            self.say(status, name)

    def say(self, status: PipelineStatus, name: str = "clean") -> None:
        """Write a status, as the operator does."""
        obj = self.get(name)
        obj["status"] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._resources.replace_status(obj)

    def curator(self, *arguments: str, kubeconfig: Path | None = None) -> int:
        """Run the command in this process; its exit code."""
        config = kubeconfig or self.control_plane.kubeconfig
        command, *rest = arguments
        return main([command, "--kubeconfig", str(config), "-n", self.namespace, *rest])

    def watch(self, kubeconfig: Path | None = None) -> Program:
        """Start `curator watch clean`, without a terminal."""
        config = kubeconfig or self.control_plane.kubeconfig
        command = [sys.executable, "-m", "curator_executor", "watch", "--kubeconfig", str(config)]
        program = Program(
            f"watch-{len(self._programs)}",
            [*command, "-n", self.namespace, "clean"],
            self.directory,
        )
        self._programs.append(program)
        return program

    def end(self) -> None:
        """End what was started."""
        for program in self._programs:
            program.stop()
