"""What a spec may not ask of its pods. Called by `raycluster`, before and after merging.

The operator makes pods on behalf of people who may not be allowed to make pods themselves, so it
hands on nothing that Pod Security's `restricted` profile refuses and that would reach beyond the
pod: the node, another service account, the API server. The rest of that profile is the namespace's
business. Refused too is what would break the cluster: KubeRay's labels and variables, our ports.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curator_api.errors import Problem, did_you_mean, shown
from curator_api.v1alpha1 import ClusterSpec, PipelineSpec, WorkerGroup
from curator_operator.desired.names import HEAD_CONTAINER
from curator_operator.desired.templates import (
    OWN_VOLUME_PREFIX,
    containers_in,
    mount_problems,
    template_problems,
    variable_problems,
    volume_problems,
)
from curator_operator.settings import OperatorSettings

# Ray's labels have Kubernetes' syntax, and Ray's start command is a line of shell.
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_EXTENDED_RESOURCE = re.compile(
    r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?/[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?"
)
_HEAD_GROUP = "headgroup"
# The first Ray that asks for a token; KubeRay makes nothing of a RayCluster with an older one.
_OLDEST_RAY = (2, 52, 0)
_CLUSTER = "spec.cluster"


def check_cluster(cluster: ClusterSpec) -> list[Problem]:
    """What is wrong with the parts that pods are made of, each at its own field."""
    return list(_cluster_problems(cluster))


def check_pods(
    spec: PipelineSpec, templates: Sequence[Mapping[str, Any]], settings: OperatorSettings
) -> list[Problem]:
    """What is wrong with the pods as they came out of merging.

    Args:
        spec: where they came from.
        templates: of the head, then of each worker group in order.
        settings: which service accounts are allowed.
    """
    found: list[Problem] = []
    for position, template in enumerate(templates):
        where = f"{_CLUSTER}.workerGroups[{position - 1}]" if position else f"{_CLUSTER}.head"
        pod = template["spec"]
        found += _service_account_problems(spec, position - 1, pod, settings)
        found += _volume_problems(where, pod)
        found += _location_problems(spec, where, pod)
    # What comes from spec.cluster is wrong in every pod, and said once.
    return list(dict.fromkeys(found))


def _cluster_problems(cluster: ClusterSpec) -> Iterator[Problem]:
    version = cluster.ray_version
    if version is not None and tuple(map(int, version.split("."))) < _OLDEST_RAY:
        yield Problem(
            f"{_CLUSTER}.rayVersion",
            f"wanted {'.'.join(map(str, _OLDEST_RAY))} or newer, which can ask for a token; got "
            f"{version}",
        )
    for position, group in enumerate(cluster.worker_groups):
        where = f"{_CLUSTER}.workerGroups[{position}]"
        if group.name == _HEAD_GROUP:
            yield Problem(f"{where}.name", f"{_HEAD_GROUP} is what KubeRay calls the head")
        yield from _accelerator_problems(where, group)
    for position, variable in enumerate(cluster.env):
        yield from variable_problems(f"{_CLUSTER}.env[{position}].name", variable.name)
    for position, volume in enumerate(cluster.volumes):
        yield from volume_problems(f"{_CLUSTER}.volumes[{position}]", volume)
    for position, mount in enumerate(cluster.volume_mounts):
        given = {"name": mount.name, "mountPath": mount.mount_path}
        yield from mount_problems(f"{_CLUSTER}.volumeMounts[{position}]", given)
    yield from template_problems(f"{_CLUSTER}.podTemplate", cluster.pod_template)
    for position, group in enumerate(cluster.worker_groups):
        where = f"{_CLUSTER}.workerGroups[{position}].podTemplate"
        yield from template_problems(where, group.pod_template)
        for at, container in enumerate(containers_in(group.pod_template)):
            if container.get("name") == HEAD_CONTAINER:
                yield Problem(
                    f"{where}.spec.containers[{at}].name",
                    f"{HEAD_CONTAINER} is in no pod of a worker group",
                    "Put it into spec.cluster.podTemplate",
                )


def _accelerator_problems(where: str, group: WorkerGroup) -> Iterator[Problem]:
    accelerator = group.accelerator
    if accelerator is None:
        return
    if accelerator.type is not None and not _LABEL_VALUE.fullmatch(accelerator.type):
        yield Problem(
            f"{where}.accelerator.type",
            "wanted letters, digits, '-', '_' and '.', beginning and ending with a letter or a "
            f"digit; got {shown(accelerator.type)}",
        )
    name = accelerator.resource_name
    if not _EXTENDED_RESOURCE.fullmatch(name) or "kubernetes.io/" in name:
        yield Problem(
            f"{where}.accelerator.resourceName",
            f"wanted an extended resource such as nvidia.com/gpu, got {shown(name)}",
        )


def _service_account_problems(
    spec: PipelineSpec, group: int, pod: Mapping[str, Any], settings: OperatorSettings
) -> Iterator[Problem]:
    """A service account that the operator's settings do not allow, wherever it came from."""
    name = pod.get("serviceAccountName")
    if name is None or name in settings.service_accounts:
        return
    cluster = spec.cluster or ClusterSpec.model_construct()
    own = cluster.worker_groups[group].pod_template if group >= 0 else {}
    if "serviceAccountName" in own.get("spec", {}):
        where = f"{_CLUSTER}.workerGroups[{group}].podTemplate.spec.serviceAccountName"
    elif "serviceAccountName" in cluster.pod_template.get("spec", {}):
        where = f"{_CLUSTER}.podTemplate.spec.serviceAccountName"
    else:
        where = f"{_CLUSTER}.serviceAccountName"
    allowed = ", ".join(settings.service_accounts)
    yield Problem(
        where,
        f"wanted one of the service accounts that pipelines may use ({allowed or 'none'}), got "
        f"{shown(name)}",
        "Ask whoever installed the operator to add it to CURATOR_SERVICE_ACCOUNTS",
    )


def _volume_problems(where: str, pod: Mapping[str, Any]) -> Iterator[Problem]:
    """A mount without its volume: KubeRay would try to make that pod for ever."""
    volumes = [str(volume["name"]) for volume in pod["volumes"]]
    for kind in ("initContainers", "containers"):
        for container in pod.get(kind, ()):
            for mount in container.get("volumeMounts", ()):
                if mount.get("name") not in volumes:
                    yield Problem(
                        where,
                        f"container {container['name']} mounts {shown(mount.get('name'))} at "
                        f"{mount['mountPath']}, which is no volume of the pod",
                        did_you_mean(mount.get("name"), volumes),
                    )


def _location_problems(spec: PipelineSpec, where: str, pod: Mapping[str, Any]) -> Iterator[Problem]:
    """A `file://` location that would go with the pod.

    The models ask this too where there is no template; a template may bring the mount.
    """
    # KubeRay takes the first container for Ray's, and so do we.
    ray = pod["containers"][0]
    temporary = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    mounts = [
        posixpath.normpath(mount["mountPath"])
        for mount in ray["volumeMounts"]
        if mount["name"] not in temporary and not mount["name"].startswith(OWN_VOLUME_PREFIX)
    ]
    locations = {
        "checkpoint": spec.checkpoint,
        "deadLetters": spec.dead_letters,
        "artifacts": spec.artifacts,
    }
    for name, location in locations.items():
        if location is None or not location.uri.startswith("file://"):
            continue
        path = posixpath.normpath(location.uri.removeprefix("file://"))
        if not any(path == mount or path.startswith(f"{mount}/") for mount in mounts):
            yield Problem(
                f"spec.{name}.uri",
                f"{path} is on no volume that outlives the pods of {where} (lasting mounts: "
                f"{', '.join(mounts) or 'none'}), so it would go with them",
                "Mount a claim there with spec.cluster.volumes and volumeMounts, or use an "
                "object store",
            )
