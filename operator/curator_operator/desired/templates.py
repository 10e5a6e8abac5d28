"""What may not stand in a pod template, a volume, a variable or a mount of the user's.

Called by `checks` before anything is merged, so that each problem has the path of the field as the
user wrote it. Templates are free-form: types are checked on the way.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from curator_api.errors import Problem, shown
from curator_operator.desired.names import (
    DASHBOARD_PORT,
    DRIVER_PORT_NAME,
    HEAD_CONTAINER,
    MANIFEST_FOLDER,
    PROGRESS_PORT,
    RAY_CONTAINER,
    WORKER_CONTAINER,
)

OWN_VOLUME_PREFIX = "curator-"
# What merging relies on. None: a mapping; else a list of mappings, with that key if it is not "".
_Kinds = Mapping[str, str | None]
_TEMPLATE_KINDS: _Kinds = {"metadata": None, "spec": None}
_METADATA_KINDS: _Kinds = {"labels": None, "annotations": None}
_POD_KINDS: _Kinds = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "tolerations": "",
    "securityContext": None,
    "nodeSelector": None,
}
_CONTAINER_KINDS: _Kinds = {
    "env": "name",
    "envFrom": "",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "securityContext": None,
    "resources": None,
}
_OWN_LABELS = ("ray.io/", "curator.dev/", "kueue.x-k8s.io/")
_KUBERAY_LABELS = frozenset(
    f"app.kubernetes.io/{name}" for name in ("managed-by", "name", "created-by")
)
_RAY_CONTAINERS = frozenset({RAY_CONTAINER, HEAD_CONTAINER, WORKER_CONTAINER})
_KUBERAY_CONTAINERS = frozenset({"autoscaler", "wait-gcs-ready", "ray-job-submitter"})
# KubeRay sets these; another value takes the cluster apart or opens it.
_OWN_VARIABLES = frozenset(
    {
        "FQ_RAY_IP",
        "KUBERAY_GEN_RAY_START_CMD",
        "RAY_ADDRESS",
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_CLOUD_INSTANCE_ID",
        "RAY_CLUSTER_NAME",
        "RAY_CLUSTER_NAMESPACE",
        "RAY_ENABLE_K8S_TOKEN_AUTH",
        "RAY_IP",
        "RAY_NODE_TYPE_NAME",
        "RAY_PORT",
        "RAY_REDIS_ADDRESS",
        "RAY_USAGE_STATS_EXTRA_TAGS",
        "RAY_enable_autoscaler_v2",
        "RAY_external_storage_namespace",
        "REDIS_PASSWORD",
        "REDIS_USERNAME",
    }
)
_OWN_PORTS = frozenset({6379, DASHBOARD_PORT, 8080, PROGRESS_PORT, 10001, 52365})
_OWN_PORT_NAMES = frozenset({"gcs-server", "dashboard", "metrics", "client", DRIVER_PORT_NAME})

# Fields of a pod that nobody sets, and why.
_POD_FIELDS = {
    "automountServiceAccountToken": "user code gets no Kubernetes credentials",
    "hostIPC": "it reaches beyond the pod",
    "hostNetwork": "it reaches beyond the pod",
    "hostPID": "it reaches beyond the pod",
    "restartPolicy": "KubeRay decides on it",
    "serviceAccount": "it is the old name of serviceAccountName",
    "shareProcessNamespace": "containers would see each other's files, the autoscaler's token too",
}
_RAY_FIELDS = {
    "args": "KubeRay starts Ray with it",
    "command": "KubeRay starts Ray with it",
}
# Of a security context, pod's or container's: what must be the opposite of what it says.
_FORBIDDEN_SECURITY: dict[str, tuple[Any, ...]] = {
    "allowPrivilegeEscalation": (True,),
    "privileged": (True,),
    "procMount": ("Unmasked",),
    "runAsNonRoot": (False,),
    "runAsUser": (0,),
}
_FORBIDDEN_PROFILES = ("Unconfined",)
_SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io"


def template_problems(where: str, template: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything in a pod template that may not be there.

    Args:
        where: path of the template in the manifest.
        template: `metadata` and `spec`, as in a Deployment's template.
    """
    yield from _null_problems(where, template)
    yield from _kind_problems(where, template, _TEMPLATE_KINDS)
    for key in template:
        if key not in ("metadata", "spec"):
            yield Problem(
                f"{where}.{key}", "wanted metadata or spec, as in a Deployment's template"
            )
    metadata = _mapping(template.get("metadata"))
    yield from _kind_problems(f"{where}.metadata", metadata, _METADATA_KINDS)
    for key in metadata:
        if key not in ("labels", "annotations"):
            yield Problem(f"{where}.metadata.{key}", "only labels and annotations may be set")
    for kind in ("labels", "annotations"):
        for name in _mapping(metadata.get(kind)):
            if name.startswith(_OWN_LABELS) or name in _KUBERAY_LABELS:
                path = f"{where}.metadata.{kind}[{name}]"
                yield Problem(path, "belongs to the operator, KubeRay or Kueue")
    yield from _pod_problems(f"{where}.spec", _mapping(template.get("spec")))


def containers_in(template: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The containers of a pod template that may be malformed."""
    return _entries(_mapping(template.get("spec")), "containers")


def _pod_problems(where: str, pod: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _kind_problems(where, pod, _POD_KINDS)
    for key, why in _POD_FIELDS.items():
        # False where false is what there is anyway says nothing new.
        if key in pod and pod[key] is not False:
            hint = "Use spec.cluster.serviceAccountName" if key == "serviceAccount" else ""
            yield Problem(f"{where}.{key}", f"cannot be set: {why}", hint)
    yield from security_problems(f"{where}.securityContext", pod.get("securityContext"))
    for position, volume in enumerate(_entries(pod, "volumes")):
        yield from volume_problems(f"{where}.volumes[{position}]", volume)
    for kind in ("initContainers", "containers"):
        for position, container in enumerate(_entries(pod, kind)):
            yield from _container_problems(f"{where}.{kind}[{position}]", container)


def _container_problems(where: str, container: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _kind_problems(where, container, _CONTAINER_KINDS)
    name = container.get("name")
    if name in _KUBERAY_CONTAINERS:
        yield Problem(f"{where}.name", f"{name} is a container of KubeRay's own")
    yield from security_problems(f"{where}.securityContext", container.get("securityContext"))
    for position, mount in enumerate(_entries(container, "volumeMounts")):
        yield from mount_problems(f"{where}.volumeMounts[{position}]", mount)
    for position, port in enumerate(_entries(container, "ports")):
        yield from _port_problems(f"{where}.ports[{position}]", port)
    if name not in _RAY_CONTAINERS:
        return
    for key, why in _RAY_FIELDS.items():
        if key in container:
            yield Problem(f"{where}.{key}", f"cannot be set: {why}")
    for position, variable in enumerate(_entries(container, "env")):
        yield from variable_problems(f"{where}.env[{position}].name", variable.get("name"))
    limits = _mapping(_mapping(container.get("resources")).get("limits"))
    for key in ("cpu", "memory"):
        if key in limits:
            yield Problem(
                f"{where}.resources.limits.{key}",
                "cannot be set: Ray offers what the manifest says of the pod",
                "Set resources of the worker group, or of spec.cluster.head",
            )


def security_problems(where: str, context: Any) -> Iterator[Problem]:
    """What of a security context would take the restrictions away again."""
    given = _mapping(context)
    for key, forbidden in _FORBIDDEN_SECURITY.items():
        if key in given and given[key] in forbidden:
            yield Problem(
                f"{where}.{key}", f"{shown(given[key])} is not allowed: pods run restricted"
            )
    for key in ("seccompProfile", "appArmorProfile"):
        if _mapping(given.get(key)).get("type") in _FORBIDDEN_PROFILES:
            yield Problem(f"{where}.{key}.type", "Unconfined is not allowed: pods run restricted")
    capabilities = _mapping(given.get("capabilities"))
    added = capabilities.get("add")
    if isinstance(added, list) and set(map(str, added)) - {"NET_BIND_SERVICE"}:
        yield Problem(f"{where}.capabilities.add", "is not allowed: pods run restricted")
    if "drop" in capabilities and capabilities["drop"] != ["ALL"]:
        yield Problem(f"{where}.capabilities.drop", "wanted [ALL]: pods run restricted")
    for key in ("sysctls", "windowsOptions"):
        if given.get(key):
            yield Problem(f"{where}.{key}", "is not allowed: pods run restricted")


def volume_problems(where: str, volume: Mapping[str, Any]) -> Iterator[Problem]:
    """What a volume may not be."""
    if str(volume.get("name", "")).startswith(OWN_VOLUME_PREFIX):
        yield Problem(f"{where}.name", f"names with {OWN_VOLUME_PREFIX} are the operator's own")
    if "hostPath" in volume:
        yield Problem(
            f"{where}.hostPath",
            "is not allowed: it reaches beyond the pod",
            "Have it made a PersistentVolume, and name its claim",
        )
    for position, source in enumerate(_entries(_mapping(volume.get("projected")), "sources")):
        if "serviceAccountToken" in source:
            yield Problem(
                f"{where}.projected.sources[{position}].serviceAccountToken",
                "is not allowed: user code gets no Kubernetes credentials",
                "Workload identity of a cloud adds its own token to a service account's pods",
            )


def variable_problems(where: str, name: Any) -> Iterator[Problem]:
    """A variable of the Ray container that is not the user's to set."""
    if name in _OWN_VARIABLES:
        yield Problem(where, f"{name} is set by KubeRay and cannot be changed")


def mount_problems(where: str, mount: Mapping[str, Any]) -> Iterator[Problem]:
    """A mount over what is ours, or of what is not the user's to see."""
    if str(mount.get("name", "")).startswith(OWN_VOLUME_PREFIX):
        yield Problem(f"{where}.name", f"volumes with {OWN_VOLUME_PREFIX} are the operator's own")
    path = posixpath.normpath(str(mount.get("mountPath", "")))
    for folder in (MANIFEST_FOLDER, _SERVICE_ACCOUNT_FOLDER):
        if path == folder or path.startswith(f"{folder}/") or folder.startswith(f"{path}/"):
            yield Problem(f"{where}.mountPath", f"{path} would hide {folder}, or stand in it")


def _port_problems(where: str, port: Mapping[str, Any]) -> Iterator[Problem]:
    if port.get("hostPort"):
        yield Problem(f"{where}.hostPort", "is not allowed: it reaches beyond the pod")
    if port.get("containerPort") in _OWN_PORTS:
        yield Problem(f"{where}.containerPort", f"{port['containerPort']} is Ray's or the driver's")
    if port.get("name") in _OWN_PORT_NAMES:
        yield Problem(f"{where}.name", f"{port['name']} is the name of a port of Ray or the driver")


def _null_problems(where: str, value: Any) -> Iterator[Problem]:
    """Nulls: `kubectl patch` would take them as "delete", and nothing of ours is deleted."""
    if value is None:
        yield Problem(where, "wanted a value, got nothing (null)", "Leave the field out")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _null_problems(f"{where}.{name}", inner)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _null_problems(f"{where}[{position}]", item)


def _kind_problems(where: str, value: Mapping[str, Any], kinds: _Kinds) -> Iterator[Problem]:
    """Fields that are not what merging takes them for."""
    for key, kind in kinds.items():
        inner, path = value.get(key), f"{where}.{key}"
        if inner is None:
            continue
        if kind is None:
            if not isinstance(inner, Mapping):
                yield Problem(path, f"wanted a mapping, got {shown(inner)}")
            continue
        if not isinstance(inner, list):
            yield Problem(path, f"wanted a list, got {shown(inner)}")
            continue
        for position, item in enumerate(inner):
            if not isinstance(item, Mapping) or (kind and item.get(kind) is None):
                wanted = f"a mapping with {kind}" if kind else "a mapping"
                yield Problem(f"{path}[{position}]", f"wanted {wanted}, got {shown(item)}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = value.get(key)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
