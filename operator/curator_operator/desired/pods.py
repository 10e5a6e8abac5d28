"""Pods of an attempt's cluster: `head_template` and `worker_template`.

Called by `raycluster`. What the operator wants of every pod is laid down first, the templates of
the spec are merged over it, and whatever containers came with them get the same security context.
KubeRay adds the command, probes, the token's variables and `wait-gcs-ready` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_api.quantities import format_bytes, format_millicores
from curator_api.v1alpha1 import ClusterSpec, PipelineSpec, PodResources, WorkerGroup
from curator_operator.desired.attempt import Attempt
from curator_operator.desired.autoscaler import is_autoscaled, token_volume
from curator_operator.desired.merge import merge_template
from curator_operator.desired.names import (
    DASHBOARD_PORT,
    DRIVER_PORT_NAME,
    HEAD_CONTAINER,
    LOG_CONTAINER,
    MANIFEST_FOLDER,
    PROGRESS_PORT,
    RAY_CONTAINER,
    WORKER_CONTAINER,
    submission_id,
)
from curator_operator.desired.security import container_security, pod_security
from curator_operator.settings import OperatorSettings

MANIFEST_VOLUME = "curator-pipeline"
# KubeRay's own names: it adds neither where it finds them.
SHM_VOLUME = "shared-mem"
TMP_VOLUME = "ray-logs"
SHM_FOLDER = "/dev/shm"  # noqa: S108 - the object store is there, in every container
TMP_FOLDER = "/tmp/ray"  # noqa: S108 - Ray's sessions and logs

# A head with dashboard, driver and a few hundred actors stays below 2 GiB; heads of less than that
# are known to be killed at start (KubeRay issue 4287).
DEFAULT_HEAD = PodResources(cpus=2, memory="4Gi")
# The object store takes 30 % of the memory; the rest of the half is for what user code shares
# between processes, such as PyTorch's data loaders.
_SHM_SHARE = 0.5
_MEBIBYTE = 1024 * 1024
# The operator drains the driver before it deletes a cluster: nothing needs more than Kubernetes'
# default to end.
_GRACE_SECONDS = 30
# Told to end, Ray 2.60 waits up to 30 s for actors to go (`_drain_node_before_shutdown`); ours do
# not go by themselves, and the next attempt waits for this head. Lost batches are run again.
_NO_RAY_DRAIN = {"name": "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "value": "0"}
# Ray writes a driver's output to a file and nowhere else. `tail` waits for the file, and for the
# folder. The shell around it hears SIGTERM, which the first process of a container else ignores; it
# stays for two seconds more than told, as tail looks once a second, and not for the whole grace
# period, as the next attempt waits for this pod to be gone.
_PRINT_LOG = (
    "trap 'sleep 2; exit 0' TERM; "
    'tail -n +1 -F "/tmp/ray/session_latest/logs/job-driver-$0.log" 2>/dev/null & wait'
)
_LOG_AMOUNTS = {"cpu": "50m", "memory": "64Mi"}
_NO_EVICTION = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


def head_template(this: Attempt, spec: PipelineSpec, settings: OperatorSettings) -> dict[str, Any]:
    """Pod template of the head: it runs GCS, dashboard and driver, and no stage."""
    cluster = _cluster(spec)
    resources = (cluster.head and cluster.head.resources) or DEFAULT_HEAD
    base = _base(this, spec, settings, HEAD_CONTAINER, resources)
    base["metadata"]["annotations"] = dict(_NO_EVICTION)
    pod = base["spec"]
    ray = pod["containers"][0]
    ray["ports"] = [
        # What the head service offers is this list: KubeRay adds its own only to an empty one.
        {"name": "gcs-server", "containerPort": 6379},
        {"name": "dashboard", "containerPort": DASHBOARD_PORT},
        {"name": "metrics", "containerPort": 8080},
        {"name": DRIVER_PORT_NAME, "containerPort": PROGRESS_PORT},
    ]
    ray["volumeMounts"].append(
        {"name": MANIFEST_VOLUME, "mountPath": MANIFEST_FOLDER, "readOnly": True}
    )
    pod["volumes"].append({"name": MANIFEST_VOLUME, "configMap": {"name": this.config_map}})
    if is_autoscaled(cluster):
        pod["volumes"].append(token_volume())
    merged = _laid_over(base, HEAD_CONTAINER, _common(cluster), cluster.pod_template)
    return _with_driver_log(this, merged)


def worker_template(
    this: Attempt, spec: PipelineSpec, group: WorkerGroup, settings: OperatorSettings
) -> dict[str, Any]:
    """Pod template of a worker group."""
    cluster = _cluster(spec)
    base = _base(this, spec, settings, WORKER_CONTAINER, group.resources)
    pod = base["spec"]
    if group.accelerator is not None:
        resources = pod["containers"][0]["resources"]
        count = str(group.accelerator.count)
        for part in ("limits", "requests"):
            resources[part][group.accelerator.resource_name] = count
    if group.node_selector:
        pod["nodeSelector"] = dict(group.node_selector)
    if group.tolerations:
        pod["tolerations"] = [
            item.model_dump(mode="json", by_alias=True, exclude_none=True)
            for item in group.tolerations
        ]
    templates = (_common(cluster), cluster.pod_template, group.pod_template)
    return _laid_over(base, WORKER_CONTAINER, *templates)


def _with_driver_log(this: Attempt, head: dict[str, Any]) -> dict[str, Any]:
    """The head with a container that prints the driver's log, where Kubernetes keeps logs.

    Image and folder are those of the Ray container as the templates left it. A template with a
    container of that name keeps its own.
    """
    pod = head["spec"]
    ray = pod["containers"][0]
    if any(container["name"] == LOG_CONTAINER for container in pod["containers"]):
        return head
    container = {
        "name": LOG_CONTAINER,
        "image": ray["image"],
        "command": ["sh", "-c", _PRINT_LOG, submission_id(this.pipeline.uid, this.number)],
        "resources": {"limits": dict(_LOG_AMOUNTS), "requests": dict(_LOG_AMOUNTS)},
        "securityContext": container_security() | {"readOnlyRootFilesystem": True},
        "volumeMounts": [
            {**mount, "readOnly": True}
            for mount in ray["volumeMounts"]
            if mount["mountPath"] == TMP_FOLDER
        ],
    }
    if "imagePullPolicy" in ray:
        container["imagePullPolicy"] = ray["imagePullPolicy"]
    return {**head, "spec": {**pod, "containers": [*pod["containers"], container]}}


def _cluster(spec: PipelineSpec) -> ClusterSpec:
    return spec.cluster or ClusterSpec.model_construct()


def _base(
    this: Attempt,
    spec: PipelineSpec,
    settings: OperatorSettings,
    container: str,
    resources: PodResources,
) -> dict[str, Any]:
    """What all pods have, without anything of the user's but image and size."""
    amounts = {
        "cpu": format_millicores(max(1, round(resources.cpus * 1000))),
        "memory": format_bytes(resources.memory_bytes),
    }
    shm_bytes = max(_MEBIBYTE, int(resources.memory_bytes * _SHM_SHARE) // _MEBIBYTE * _MEBIBYTE)
    return {
        "metadata": {"labels": this.labels},
        "spec": {
            "automountServiceAccountToken": False,
            # Hundreds of clusters in a namespace would fill every environment with their services.
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _GRACE_SECONDS,
            "securityContext": pod_security(),
            "containers": [
                {
                    "name": container,
                    "image": spec.image or settings.default_image,
                    "env": [dict(_NO_RAY_DRAIN)],
                    "resources": {"limits": dict(amounts), "requests": dict(amounts)},
                    "securityContext": container_security(),
                    "volumeMounts": [
                        {"name": SHM_VOLUME, "mountPath": SHM_FOLDER},
                        {"name": TMP_VOLUME, "mountPath": TMP_FOLDER},
                    ],
                }
            ],
            "volumes": [
                {
                    "name": SHM_VOLUME,
                    "emptyDir": {"medium": "Memory", "sizeLimit": format_bytes(shm_bytes)},
                },
                {"name": TMP_VOLUME, "emptyDir": {}},
            ],
        },
    }


def _common(cluster: ClusterSpec) -> dict[str, Any]:
    """What `spec.cluster` gives to all pods, as a template."""
    container: dict[str, Any] = {"name": RAY_CONTAINER}
    if cluster.env:
        container["env"] = [
            item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in cluster.env
        ]
    if cluster.env_from:
        container["envFrom"] = list(cluster.env_from)
    if cluster.volume_mounts:
        container["volumeMounts"] = [
            item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
            for item in cluster.volume_mounts
        ]
    pod: dict[str, Any] = {"containers": [container]}
    if cluster.volumes:
        pod["volumes"] = list(cluster.volumes)
    if cluster.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": item.name} for item in cluster.image_pull_secrets]
    if cluster.service_account_name is not None:
        pod["serviceAccountName"] = cluster.service_account_name
    return {"spec": pod}


def _laid_over(
    base: dict[str, Any], container: str, *templates: Mapping[str, Any]
) -> dict[str, Any]:
    """The pod with the templates over it, the last one uppermost."""
    merged = base
    for template in templates:
        merged = merge_template(merged, _addressed(template, container))
    return _secured(merged)


def _addressed(template: Mapping[str, Any], container: str) -> dict[str, Any]:
    """The template with `ray` as the Ray container's own name, without the other kind's.

    So a template for all pods may speak of all Ray containers, of the head's or of the workers'.
    """
    others = {HEAD_CONTAINER, WORKER_CONTAINER} - {container}
    pod = dict(template.get("spec", {}))
    if "containers" in pod:
        pod["containers"] = [
            {**item, "name": container} if item["name"] == RAY_CONTAINER else item
            for item in pod["containers"]
            if item["name"] not in others
        ]
    return {**template, "spec": pod}


def _secured(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template with our security context under that of every container."""
    pod = dict(template["spec"])
    for kind in ("initContainers", "containers"):
        if kind in pod:
            pod[kind] = [
                {
                    **container,
                    "securityContext": merge_template(
                        container_security(), container.get("securityContext", {})
                    ),
                }
                for container in pod[kind]
            ]
    return {**template, "spec": pod}
