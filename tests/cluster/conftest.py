"""A real API server for all tests here, KubeRay's operator beside it, and ours when a test asks.

One control plane serves the whole run; each test works in a namespace of its own. Everything that
is started ends with the run, whatever its end.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from kubernetes import client

from tests.cluster import binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.namespaces import emptied, made

CURATOR_CRD = binaries.ROOT / "crds" / "curatorpipelines.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is collected here."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The API server; a signal that would end the run ends it in order."""
    before = {
        number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with its default service account."""
    core = client.CoreV1Api(control_plane.api)
    name = made(core, request.node.name)
    yield name
    emptied(control_plane.api, name)


@pytest.fixture(scope="session")
def curator_crd(control_plane: ControlPlane) -> None:
    """The API server knows CuratorPipelines."""
    control_plane.install_crds(CURATOR_CRD)


@pytest.fixture(scope="session")
def kuberay_crds(control_plane: ControlPlane) -> None:
    """The API server knows KubeRay's resources, as the pinned version of KubeRay has them."""
    module = binaries.module_directory("kuberay", binaries.KUBERAY)
    control_plane.install_crds(*sorted((module / "config" / "crd" / "bases").glob("*.yaml")))


@pytest.fixture(scope="session")
def kuberay_operator(
    control_plane: ControlPlane, kuberay_crds: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeRayOperator]:
    """KubeRay's operator, outside the cluster: it makes pods and services of RayClusters."""
    directory = tmp_path_factory.mktemp("kuberay")
    with KubeRayOperator(control_plane.kubeconfig, directory) as running:
        yield running


@pytest.fixture(scope="session")
def kubelet(control_plane: ControlPlane) -> Iterator[Kubelet]:
    """Plays the nodes: says of pods what tests want to have happened to them."""
    with Kubelet(control_plane.api) as running:
        yield running
