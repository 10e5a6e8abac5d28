"""KubeRay that is not there yet, and KubeRay that is taken away: the rest of the operator goes on.

On a control plane of its own, because definitions come and go here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import binaries
from tests.cluster.conftest import CURATOR_CRD, TOKEN_KEY
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.processes import eventually
from tests.cluster.test_operator_process import PIPELINE

RAYCLUSTERS = "ray.io_rayclusters.yaml"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[ControlPlane]:
    """An API server that knows CuratorPipelines and no RayClusters."""
    directory = tmp_path / "control-plane"
    directory.mkdir()
    with ControlPlane(directory) as running:
        running.install_crds(CURATOR_CRD)
        yield running


@pytest.fixture
def started(bare: ControlPlane, tmp_path: Path) -> Iterator[Callable[[str], OperatorProcess]]:
    """Starts the operator there, for these namespaces."""
    running: list[OperatorProcess] = []

    def start(namespaces: str) -> OperatorProcess:
        directory = tmp_path / "operator"
        directory.mkdir()
        settings = {"CURATOR_TOKEN_KEY": TOKEN_KEY, "CURATOR_NAMESPACES": namespaces}
        operator = OperatorProcess(bare.kubeconfig, directory, settings)
        running.append(operator)
        operator.start()
        return operator

    yield start
    for operator in running:
        operator.stop()


def status(control_plane: ControlPlane) -> dict[str, Any]:
    text = control_plane.kubectl("get", "cpl", "clean", "-o", "json")
    return dict(json.loads(text).get("status", {}))


def clusters(control_plane: ControlPlane) -> list[str]:
    return control_plane.kubectl("get", "rayclusters", "-o", "name").split()


def counted(operator: OperatorProcess, name: str) -> float:
    lines = operator.get("/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


# Empty: all namespaces, where kopf follows definitions by itself, as it does not with some.
@pytest.mark.parametrize("namespaces", ["", "default"])
def test_kuberay_may_come_late_and_go(
    bare: ControlPlane, started: Callable[[str], OperatorProcess], namespaces: str
) -> None:
    operator = started(namespaces)
    bare.kubectl("create", "-f", "-", given=json.dumps(PIPELINE))
    eventually(
        lambda: "install KubeRay" in status(bare).get("message", ""), "the status says what lacks"
    )
    definition = binaries.module_directory("kuberay", binaries.KUBERAY)
    definition = definition / "config" / "crd" / "bases" / RAYCLUSTERS
    bare.install_crds(definition)
    (name,) = eventually(lambda: clusters(bare), "the RayCluster is made")

    seen = counted(operator, 'curator_operator_watch_events_total{kind="cluster"}')

    def watched() -> bool:
        touched = f"seen={counted(operator, 'curator_operator_reconciles_total')}"
        bare.kubectl("annotate", "--overwrite", name, touched)
        return counted(operator, 'curator_operator_watch_events_total{kind="cluster"}') > seen

    eventually(watched, "changes of RayClusters are seen")

    bare.kubectl("delete", "-f", str(definition))
    eventually(
        lambda: "install KubeRay" in status(bare).get("message", ""), "the status says what is gone"
    )
    bare.kubectl("annotate", "cpl", "clean", "curator.dev/note=still-watched")
    before = counted(operator, 'curator_operator_watch_events_total{kind="pipeline"}')

    def alive() -> bool:
        bare.kubectl("annotate", "--overwrite", "cpl", "clean", f"curator.dev/note={before}")
        bare.kubectl("annotate", "--overwrite", "cpl", "clean", "curator.dev/note=again")
        return counted(operator, 'curator_operator_watch_events_total{kind="pipeline"}') > before

    eventually(alive, "pipelines are watched all the same")
    bare.install_crds(definition)
    eventually(lambda: clusters(bare), "the RayCluster is made again")
    assert operator.get("/healthz") == "ok"
