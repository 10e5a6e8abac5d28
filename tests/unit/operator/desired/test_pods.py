"""Pod templates of head and workers, before anything of the user's is laid over them."""

from __future__ import annotations

from typing import Any

import pytest

from curator_operator.desired import submission
from curator_operator.desired.autoscaler import TOKEN_VOLUME
from tests.unit.operator.desired.scenarios import (
    AUTOSCALED,
    GPU_GROUPS,
    MINIMAL,
    SPECS,
    TEMPLATES,
    cluster_of,
    pipeline,
    pods_of,
    spec_of,
    with_cluster,
    with_group,
)

OWN = [name for name in SPECS if name != "existing"]


def ray_of(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["spec"]["containers"][0]
    return found


def volumes_of(pod: dict[str, Any]) -> dict[str, Any]:
    return {volume["name"]: volume for volume in pod["spec"]["volumes"]}


def containers_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@pytest.mark.parametrize("name", OWN)
def test_every_pod_carries_the_labels_that_the_watch_selects(name: str) -> None:
    for pod in pods_of(spec_of(SPECS[name])):
        labels = pod["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "curator-operator"
        assert (labels["curator.dev/pipeline"], labels["curator.dev/attempt"]) == ("clean-web", "1")


@pytest.mark.parametrize("name", OWN)
def test_every_container_is_restricted(name: str) -> None:
    for pod in pods_of(spec_of(SPECS[name])):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] == 1000
        for container in containers_of(pod):
            assert (
                container["securityContext"]
                | {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                }
                == container["securityContext"]
            )


@pytest.mark.parametrize("name", OWN)
def test_no_pod_is_given_a_service_account_token(name: str) -> None:
    for pod in pods_of(spec_of(SPECS[name])):
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_autoscaler_alone_mounts_a_token() -> None:
    spec = spec_of(AUTOSCALED)
    head, *workers = pods_of(spec)
    options = cluster_of(spec)["spec"]["autoscalerOptions"]
    assert options["volumeMounts"] == [
        {
            "name": TOKEN_VOLUME,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        }
    ]
    assert options["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    sources = volumes_of(head)[TOKEN_VOLUME]["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    for pod in [head, *workers]:
        for container in containers_of(pod):
            mounted = [mount["name"] for mount in container["volumeMounts"]]
            assert TOKEN_VOLUME not in mounted
    for pod in workers:
        assert TOKEN_VOLUME not in volumes_of(pod)


def test_fixed_cluster_has_no_token_at_all() -> None:
    assert all(TOKEN_VOLUME not in volumes_of(pod) for pod in pods_of(spec_of(MINIMAL)))


def test_head_shows_the_drivers_port() -> None:
    head = pods_of(spec_of(MINIMAL))[0]
    ports = {port["name"]: port["containerPort"] for port in ray_of(head)["ports"]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "curator-driver": 8090}
    assert all(len(name) <= 15 for name in ports)


def log_of(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in pod["spec"]["containers"] if one["name"] == "driver-log"]
    assert isinstance(found, dict)
    return found


def test_head_alone_prints_the_log_of_the_attempts_driver() -> None:
    head, worker = pods_of(spec_of(MINIMAL))
    shell, option, program, job = log_of(head)["command"]
    assert (shell, option) == ("sh", "-c")
    assert '"/tmp/ray/session_latest/logs/job-driver-$0.log"' in program
    assert job == submission(pipeline(), spec_of(MINIMAL), 1)["submission_id"]
    assert [one["name"] for one in worker["spec"]["containers"]] == ["ray-worker"]


def test_printing_the_log_takes_what_the_ray_container_has() -> None:
    ray = {
        "name": "ray",
        "image": "own:1",
        "imagePullPolicy": "Never",
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp/ray"}],
    }
    pod = {"containers": [ray], "volumes": [{"name": "scratch", "emptyDir": {}}]}
    head = pods_of(with_cluster(podTemplate={"spec": pod}))[0]
    log = log_of(head)
    assert (log["image"], log["imagePullPolicy"]) == ("own:1", "Never")
    assert log["volumeMounts"] == [{"name": "scratch", "mountPath": "/tmp/ray", "readOnly": True}]


def test_ray_stays_the_first_container_and_keeps_its_size() -> None:
    head = pods_of(spec_of(TEMPLATES))[0]
    names = [one["name"] for one in head["spec"]["containers"]]
    assert names == ["ray-head", "ship-logs", "driver-log"]


def test_a_template_may_have_a_container_of_that_name_itself() -> None:
    pod = {"spec": {"containers": [{"name": "driver-log", "image": "own:1"}]}}
    assert log_of(pods_of(with_cluster(podTemplate=pod))[0])["image"] == "own:1"


def test_head_alone_mounts_the_manifest() -> None:
    head, worker = pods_of(spec_of(MINIMAL))
    assert {"name": "curator-pipeline", "mountPath": "/etc/curator", "readOnly": True} in (
        ray_of(head)["volumeMounts"]
    )
    assert volumes_of(head)["curator-pipeline"]["configMap"] == {
        "name": "clean-web-4f1c9-1-pipeline"
    }
    assert "curator-pipeline" not in volumes_of(worker)


def test_head_is_not_evicted_to_tidy_up_a_node() -> None:
    head, worker = pods_of(spec_of(MINIMAL))
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert head["metadata"]["annotations"] == {key: "false"}
    assert "annotations" not in worker["metadata"]


def test_head_has_resources_of_its_own_or_the_operators() -> None:
    given = with_cluster(head={"resources": {"cpus": 1.5, "memory": "3Gi"}})
    limits = [ray_of(pods_of(spec)[0])["resources"]["limits"] for spec in (spec_of(MINIMAL), given)]
    assert limits == [{"cpu": "2", "memory": "4Gi"}, {"cpu": "1500m", "memory": "3Gi"}]


def test_worker_asks_for_what_its_group_says() -> None:
    _, cpu, h100, shared = pods_of(spec_of(GPU_GROUPS))
    for pod, amounts in (
        (cpu, {"cpu": "500m", "memory": "1500M"}),
        (h100, {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}),
        (shared, {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu.shared": "4"}),
    ):
        assert ray_of(pod)["resources"] == {"limits": amounts, "requests": amounts}


def test_worker_goes_to_the_nodes_of_its_group() -> None:
    pod = pods_of(spec_of(GPU_GROUPS))[2]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize(("memory", "shared"), [("8Gi", "4Gi"), ("3Mi", "1Mi"), ("1Mi", "1Mi")])
def test_half_of_the_memory_may_be_shared(memory: str, shared: str) -> None:
    """Ray's object store takes 30 %."""
    worker = pods_of(with_group(resources={"cpus": 1, "memory": memory}))[1]
    assert {"name": "shared-mem", "mountPath": "/dev/shm"} in ray_of(worker)["volumeMounts"]
    assert volumes_of(worker)["shared-mem"]["emptyDir"] == {"medium": "Memory", "sizeLimit": shared}


def test_image_is_the_pipelines_or_the_operators() -> None:
    images = [ray_of(pods_of(spec_of(text))[1])["image"] for text in (MINIMAL, GPU_GROUPS)]
    assert images == ["curator/executor:0.1.0", "registry.example/team/curation:3"]


def test_probes_and_command_are_left_to_kuberay() -> None:
    for pod in pods_of(spec_of(MINIMAL)):
        assert {"command", "args", "livenessProbe", "readinessProbe"}.isdisjoint(ray_of(pod))
        assert "restartPolicy" not in pod["spec"]


def test_pods_end_within_kubernetes_own_grace() -> None:
    for pod in pods_of(spec_of(MINIMAL)):
        assert pod["spec"]["terminationGracePeriodSeconds"] == 30


def test_ray_does_not_wait_for_actors_that_never_go() -> None:
    """It would for 30 s, at each end of a cluster; who wants that can say so in `env`."""
    name = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
    other = with_cluster(env=[{"name": name, "value": "20"}])
    for spec, value in ((spec_of(MINIMAL), "0"), (other, "20")):
        for pod in pods_of(spec):
            assert ray_of(pod)["env"] == [{"name": name, "value": value}]
