"""A real API server for all tests here, KubeRay's operator beside it, and ours when a test asks.

One control plane serves the whole run; each test works in a namespace of its own. Everything that
is started ends with the run, whatever its end.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from kubernetes import client

from tests.cluster import binaries, kuberay
from tests.cluster.control_plane import ControlPlane
from tests.cluster.head_containers import HeadContainers
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.namespaces import emptied, made
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.ray_head import RayHead
from tests.cluster.ray_heads import RayHeads

CURATOR_CRD = binaries.ROOT / "crds" / "curatorpipelines.yaml"
# Alone on two cores everything is up in 20 s; beside other work it has taken over a minute.
TEST_ENDS_WITHIN_S = 240
TOKEN_KEY = "a key for tests alone, and long enough for them"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is collected here; the first test of a run also waits for all that is started."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_ENDS_WITHIN_S))


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
    """The API server knows KubeRay's resources; RayClusters as the pinned version has them."""
    control_plane.install_crds(*kuberay.crds(control_plane.directory))


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


@pytest.fixture
def ray_heads(control_plane: ControlPlane, kubelet: Kubelet) -> Iterator[RayHeads]:
    """Simulated heads: one listens while the kubelet says that its pod's containers run."""
    with RayHeads(HeadContainers(control_plane.api, kubelet)) as running:
        yield running


@pytest.fixture(scope="session")
def real_ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """One real Ray head with token authentication."""
    with RayHead(tmp_path_factory.mktemp("ray-head")) as running:
        yield running


@pytest.fixture
def operator_process(
    control_plane: ControlPlane,
    curator_crd: None,
    namespace: str,
    ray_heads: RayHeads,
    tmp_path: Path,
) -> Iterator[Callable[..., OperatorProcess]]:
    """Starts the operator: `operator_process(CURATOR_RESYNC_S="5")`, ready when it returns.

    It watches the test's namespace and asks the simulated heads, unless its settings say otherwise.
    `kubeconfig=` gives it other rights than the administrator's.
    """
    started: list[OperatorProcess] = []

    def start(kubeconfig: Path | None = None, **settings: str) -> OperatorProcess:
        directory = tmp_path / f"operator-{len(started)}"
        directory.mkdir()
        usual = {
            "CURATOR_NAMESPACES": namespace,
            "CURATOR_OWN_NAMESPACE": namespace,
            "CURATOR_TOKEN_KEY": TOKEN_KEY,
            "CURATOR_DASHBOARD_URL": ray_heads.url_template,
            "CURATOR_DRIVER_URL": ray_heads.url_template,
        }
        one = OperatorProcess(
            kubeconfig or control_plane.kubeconfig, directory, {**usual, **settings}
        )
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()
