"""An API server of its own for the chart, which installs what other tests find there.

Every test installs the same release into the same namespace; the definition of CuratorPipelines is
kept between them, as it would be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import kuberay
from tests.cluster.chart.audit import AuditedControlPlane
from tests.cluster.chart.helm import SYSTEM
from tests.cluster.chart.installed import Installed
from tests.cluster.head_containers import HeadContainers
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.namespaces import emptied, made
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.ray_heads import RayHeads


@pytest.fixture(scope="session")
def chart_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedControlPlane]:
    """An API server that nothing of ours was installed on, and that knows RayClusters."""
    with AuditedControlPlane(tmp_path_factory.mktemp("chart-plane")) as running:
        running.install_crds(*kuberay.crds(running.directory))
        running.kubectl("create", "namespace", SYSTEM)
        yield running


@pytest.fixture(scope="session")
def chart_kuberay(
    chart_plane: AuditedControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KubeRayOperator]:
    """KubeRay's operator."""
    directory = tmp_path_factory.mktemp("chart-kuberay")
    with KubeRayOperator(chart_plane.kubeconfig, directory) as running:
        yield running


@pytest.fixture(scope="session")
def chart_kubelet(chart_plane: AuditedControlPlane) -> Iterator[Kubelet]:
    """Plays the nodes."""
    with Kubelet(chart_plane.api) as running:
        yield running


@pytest.fixture
def chart_heads(chart_plane: AuditedControlPlane, chart_kubelet: Kubelet) -> Iterator[RayHeads]:
    """Simulated heads."""
    with RayHeads(HeadContainers(chart_plane.api, chart_kubelet)) as running:
        yield running


@pytest.fixture
def team(chart_plane: AuditedControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for pipelines."""
    name = made(client.CoreV1Api(chart_plane.api), request.node.name)
    yield name
    emptied(chart_plane.api, name)


@pytest.fixture
def release(chart_plane: AuditedControlPlane, tmp_path: Path) -> Iterator[Installed]:
    """The release, not installed yet; whatever is left of it goes afterwards."""
    one = Installed(chart_plane, tmp_path)
    yield one
    one.remove()


@pytest.fixture
def operator_of(release: Installed, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Starts the operator as the release's Deployment would, `operator_of(CURATOR_…="…")`."""
    started: list[OperatorProcess] = []

    def start(**settings: str) -> OperatorProcess:
        directory = tmp_path / f"operator-{len(started)}"
        directory.mkdir()
        one = release.operator(directory, settings)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()
