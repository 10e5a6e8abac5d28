"""The pods that KubeRay makes of our RayClusters, in namespaces that enforce `restricted`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes import client

from curator_operator.desired import token
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kuberay import KubeRayOperator
from tests.cluster.kuberay_children import (
    MadePipeline,
    allow_templates,
    make_children,
    pipeline_in,
    restricted_namespace,
)
from tests.cluster.processes import eventually
from tests.unit.operator.desired.scenarios import AUTOSCALED, GPU_GROUPS, SETTINGS, TEMPLATES

Json = dict[str, Any]
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


@contextmanager
def made_in(control_plane: ControlPlane, title: str, text: str) -> Iterator[MadePipeline]:
    with restricted_namespace(control_plane, title) as namespace:
        if text is TEMPLATES:
            allow_templates(control_plane, namespace)
        this = pipeline_in(control_plane, namespace, text)
        make_children(this)
        this.wait_for_pods("headgroup", 1)
        for group in this.body["spec"]["workerGroupSpecs"]:
            this.wait_for_pods(group["groupName"], group["minReplicas"])
        yield this


@pytest.fixture(scope="module")
def gpu_groups(
    control_plane: ControlPlane, kuberay_operator: KubeRayOperator, curator_crd: None
) -> Iterator[MadePipeline]:
    """Fixed groups, two of them with GPUs."""
    with made_in(control_plane, "gpu groups", GPU_GROUPS) as this:
        yield this


@pytest.fixture(scope="module")
def autoscaled(
    control_plane: ControlPlane, kuberay_operator: KubeRayOperator, curator_crd: None
) -> Iterator[MadePipeline]:
    """One fixed group, one that scales from zero."""
    with made_in(control_plane, "autoscaled", AUTOSCALED) as this:
        yield this


@pytest.fixture(scope="module")
def templates(
    control_plane: ControlPlane, kuberay_operator: KubeRayOperator, curator_crd: None
) -> Iterator[MadePipeline]:
    """Variables, volumes, a service account, templates with a container of their own."""
    with made_in(control_plane, "templates", TEMPLATES) as this:
        yield this


@pytest.fixture(params=["gpu_groups", "autoscaled", "templates"])
def any_pipeline(request: pytest.FixtureRequest) -> MadePipeline:
    """Each of them."""
    found: MadePipeline = request.getfixturevalue(request.param)
    return found


def containers_of(pod: Json) -> list[Json]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def named(items: list[Json], name: str) -> Json:
    return next(item for item in items if item["name"] == name)


def env_of(container: Json) -> dict[str, Json]:
    return {item["name"]: item for item in container["env"]}


def ray_start_of(pod: Json) -> str:
    """The command that KubeRay made for the Ray container."""
    found: str = pod["spec"]["containers"][0]["args"][0]
    return found


def test_pods_keep_the_labels_by_which_the_operator_finds_them(any_pipeline: MadePipeline) -> None:
    for pod in any_pipeline.pods():
        labels = pod["metadata"]["labels"]
        assert labels["app.kubernetes.io/created-by"] == "kuberay-operator"
        assert labels["app.kubernetes.io/managed-by"] == "curator-operator"
        assert labels["curator.dev/attempt"] == "1"
        assert labels["ray.io/cluster"] == any_pipeline.name


def test_every_container_is_restricted_those_of_kuberay_too(any_pipeline: MadePipeline) -> None:
    """The namespace would have refused the pods; here is what made it take them."""
    for pod in any_pipeline.pods():
        assert pod["spec"]["securityContext"]["runAsUser"] == 1000
        for container in containers_of(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, container["name"]
            assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, container["name"]


def test_workers_wait_for_the_head_in_a_container_of_kuberays(any_pipeline: MadePipeline) -> None:
    workers = [pod for pod in any_pipeline.pods() if "initContainers" in pod["spec"]]
    assert workers
    for pod in workers:
        waiting = named(pod["spec"]["initContainers"], "wait-gcs-ready")
        assert env_of(waiting)["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == (
            f"{any_pipeline.name}-token"
        )


def test_user_code_sees_no_service_account_token(any_pipeline: MadePipeline) -> None:
    for pod in any_pipeline.pods():
        for container in containers_of(pod):
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            sees = any(path.startswith(TOKEN_FOLDER) for path in paths)
            assert sees is (container["name"] == "autoscaler"), container["name"]


def test_ray_asks_for_the_token_of_our_secret(any_pipeline: MadePipeline) -> None:
    for pod in any_pipeline.pods():
        env = env_of(pod["spec"]["containers"][0])
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {
            "name": f"{any_pipeline.name}-token",
            "key": "auth_token",
        }


def test_kuberay_makes_no_secret_of_its_own(any_pipeline: MadePipeline) -> None:
    secrets = client.CoreV1Api(any_pipeline.api).list_namespaced_secret(any_pipeline.namespace)
    ours: Any
    (ours,) = secrets.items
    assert base64.b64decode(ours.data["auth_token"]).decode() == token(
        SETTINGS.token_key, any_pipeline.pipeline.uid, 1
    )


def test_head_service_has_the_dashboards_and_the_drivers_port(any_pipeline: MadePipeline) -> None:
    core = client.CoreV1Api(any_pipeline.api)
    service: Any = core.read_namespaced_service(
        f"{any_pipeline.name}-head-svc", any_pipeline.namespace
    )
    ports = {port.name: port.port for port in service.spec.ports}
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "curator-driver": 8090}


def test_head_is_started_without_anything_for_stages(any_pipeline: MadePipeline) -> None:
    (head,) = any_pipeline.pods("headgroup")
    command = ray_start_of(head)
    assert "ray start --head" in command
    for flag in ("--num-cpus=0", "--num-gpus=0", "--dashboard-host=0.0.0.0"):
        assert flag in command
    mounts = head["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "curator-pipeline", "mountPath": "/etc/curator", "readOnly": True} in mounts


def test_mounts_are_ours_once(any_pipeline: MadePipeline) -> None:
    """KubeRay adds /dev/shm and /tmp/ray where it finds none."""
    for pod in any_pipeline.pods():
        for container in containers_of(pod):
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(paths) == len(set(paths))
            names = [mount["name"] for mount in container.get("volumeMounts", [])]
            assert names.count("shared-mem") <= 1
        shm = named(pod["spec"]["volumes"], "shared-mem")["emptyDir"]
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        assert shm["medium"] == "Memory"
        assert shm["sizeLimit"] != limits["memory"]


def test_probes_are_kuberays(any_pipeline: MadePipeline) -> None:
    for pod in any_pipeline.pods():
        ray = pod["spec"]["containers"][0]
        for probe in ("livenessProbe", "readinessProbe"):
            assert ray[probe]["httpGet"]["path"] == "/api/healthz"


def test_workers_are_started_with_group_gpus_and_accelerator(gpu_groups: MadePipeline) -> None:
    (h100,) = gpu_groups.pods("h100")
    (shared,) = gpu_groups.pods("shared")
    (cpu,) = gpu_groups.pods("cpu")
    assert "--num-gpus=2" in ray_start_of(h100)
    assert """--resources='{"accelerator_type:H100": 1}'""" in ray_start_of(h100)
    assert "curator.dev/worker-group=h100" in ray_start_of(h100)
    assert "ray.io/node-group=h100" in ray_start_of(h100)
    assert "ray.io/accelerator-type=H100" in ray_start_of(h100)
    assert "--num-gpus=4" in ray_start_of(shared)
    assert "--num-gpus=0" in ray_start_of(cpu)
    # Half a core: Ray counts whole ones, and KubeRay rounds up.
    assert "--num-cpus=1 " in ray_start_of(cpu)


def test_workers_ask_for_their_gpus(gpu_groups: MadePipeline) -> None:
    (h100,) = gpu_groups.pods("h100")
    assert h100["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert h100["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def test_fixed_cluster_has_neither_autoscaler_nor_rights(gpu_groups: MadePipeline) -> None:
    (head,) = gpu_groups.pods("headgroup")
    assert [container["name"] for container in head["spec"]["containers"]] == [
        "ray-head",
        "driver-log",
    ]
    assert head["spec"]["serviceAccountName"] == "default"
    roles = client.RbacAuthorizationV1Api(gpu_groups.api)
    assert roles.list_namespaced_role(gpu_groups.namespace).items == []


def test_autoscaler_has_its_token_and_the_heads_service_account(autoscaled: MadePipeline) -> None:
    (head,) = autoscaled.pods("headgroup")
    assert [container["name"] for container in head["spec"]["containers"]] == [
        "ray-head",
        "driver-log",
        "autoscaler",
    ]
    assert head["spec"]["serviceAccountName"] == autoscaled.name
    autoscaler = named(head["spec"]["containers"], "autoscaler")
    mount = next(item for item in autoscaler["volumeMounts"] if item["mountPath"] == TOKEN_FOLDER)
    sources = named(head["spec"]["volumes"], mount["name"])["projected"]["sources"]
    assert sources[0]["serviceAccountToken"]["path"] == "token"
    assert autoscaler["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert env_of(autoscaler)["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == (
        f"{autoscaled.name}-token"
    )


def test_workers_do_not_share_the_heads_service_account(autoscaled: MadePipeline) -> None:
    (worker,) = autoscaled.pods("fixed")
    assert worker["spec"]["serviceAccountName"] == "default"


def test_templates_reach_the_pods(templates: MadePipeline) -> None:
    (head,) = templates.pods("headgroup")
    (worker,) = templates.pods("nvme")
    for pod, level in ((head, "debug"), (worker, "trace")):
        ray = pod["spec"]["containers"][0]
        env = env_of(ray)
        assert env["LEVEL"]["value"] == level
        assert env["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}
        assert ray["envFrom"] == [{"secretRef": {"name": "bucket"}}]
        assert {"name": "data", "mountPath": "/data"} in ray["volumeMounts"]
        assert pod["spec"]["serviceAccountName"] == "curator-jobs"
        assert pod["spec"]["priorityClassName"] == "batch"
        assert [one["name"] for one in pod["spec"]["containers"]][1] == "ship-logs"
    assert worker["spec"]["containers"][0]["image"].endswith(":3-nvme")
    scratch = {"name": "scratch", "mountPath": "/tmp/ray"}
    assert scratch in worker["spec"]["containers"][0]["volumeMounts"]


def test_children_go_when_the_pipeline_does(
    control_plane: ControlPlane, kuberay_operator: KubeRayOperator, curator_crd: None
) -> None:
    with made_in(control_plane, "children go", AUTOSCALED) as this:
        core: Any = client.CoreV1Api(this.api)
        client.CustomObjectsApi(this.api).delete_namespaced_custom_object(
            "curator.dev", "v1alpha1", this.namespace, "curatorpipelines", "clean-web"
        )

        def are_gone() -> bool:
            where = {"namespace": this.namespace, "label_selector": "curator.dev/pipeline"}
            left = [
                *core.list_namespaced_secret(**where).items,
                *core.list_namespaced_config_map(**where).items,
                *core.list_namespaced_pod(**where).items,
            ]
            assert [one.metadata.name for one in left] == []
            return True

        eventually(are_gone, "Secret, ConfigMap and pods are collected")
