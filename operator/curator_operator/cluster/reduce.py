"""Objects as the API server gives them, reduced to what the operator decides by.

Called where an object arrives (watch, listing, reply to a write), so that nothing larger is kept:
with a thousand pipelines the whole objects would take more memory than all the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from curator_api import parse_status
from curator_operator.desired.labels import ATTEMPT, PIPELINE
from curator_operator.desired.names import LOG_CONTAINER
from curator_operator.reconcile.observed import (
    ClusterSeen,
    ConditionSeen,
    ContainerSeen,
    PipelineSeen,
    PodSeen,
)

Object = Mapping[str, Any]

CLUSTER_LABEL = "ray.io/cluster"
GROUP_LABEL = "ray.io/group"
NODE_TYPE_LABEL = "ray.io/node-type"
HEAD_SELECTOR = f"{NODE_TYPE_LABEL}=head"
# kubectl keeps a second copy of the spec here.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_GROUP_FIELDS = ("groupName", "replicas", "minReplicas", "maxReplicas", "suspend")
_MESSAGE = 1024
_HEAD_CONTAINER = "ray-head"
# Containers of a head pod that run beside Ray's.
_BESIDE_RAY = frozenset({"autoscaler", LOG_CONTAINER})


class PipelineKey(NamedTuple):
    """Which pipeline; the key of the queue, the poller and the cache."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def version_of(obj: Object) -> int:
    """Its resource version; 0 where that is no number, so that it never counts as newer."""
    text = str(obj["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def key_of(obj: Object) -> PipelineKey:
    """Key of a pipeline."""
    meta = obj["metadata"]
    return PipelineKey(meta["namespace"], meta["name"])


def owner_key(obj: Object) -> PipelineKey | None:
    """Key of the pipeline that a child's label names, or None."""
    name = _map(obj["metadata"].get("labels")).get(PIPELINE)
    return PipelineKey(obj["metadata"]["namespace"], name) if name else None


def owner_uid(obj: Object) -> str:
    """Uid of an object's controller; "" where it has none."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(one.get("uid", "")) for one in owners if one.get("controller")), "")


def seconds(text: Any) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 where there is none."""
    if not isinstance(text, str) or not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def pipeline_seen(obj: Object) -> PipelineSeen:
    """A CuratorPipeline."""
    meta = obj["metadata"]
    annotations = _map(meta.get("annotations"))
    return PipelineSeen(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=int(meta.get("generation") or 0),
        resource_version=str(meta.get("resourceVersion", "")),
        created_at=seconds(meta.get("creationTimestamp")),
        spec=_map(obj.get("spec")),
        status=parse_status(obj.get("status")),
        labels=_map(meta.get("labels")),
        annotations={key: text for key, text in annotations.items() if key != _LAST_APPLIED},
        finalizers=tuple(meta.get("finalizers") or ()),
        deleting=bool(meta.get("deletionTimestamp")),
    )


def cluster_seen(obj: Object) -> ClusterSeen:
    """A RayCluster; of its spec only what may change while it lives."""
    meta = obj["metadata"]
    spec = _map(obj.get("spec"))
    status = _map(obj.get("status"))
    attempt = str(_map(meta.get("labels")).get(ATTEMPT, ""))
    return ClusterSeen(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=str(meta.get("resourceVersion", "")),
        owner_uid=owner_uid(obj),
        attempt=int(attempt) if attempt.isdigit() else 0,
        spec=_changeable(spec),
        suspended=bool(spec.get("suspend")),
        deleting=bool(meta.get("deletionTimestamp")),
        state=str(status.get("state") or ""),
        reason=str(status.get("reason") or "")[:_MESSAGE],
        conditions=_conditions(status.get("conditions")),
        created_at=seconds(meta.get("creationTimestamp")),
    )


def _changeable(spec: Object) -> Object:
    kept: dict[str, Any] = {
        name: spec[name] for name in ("suspend", "enableInTreeAutoscaling") if name in spec
    }
    groups = spec.get("workerGroupSpecs")
    if groups:
        kept["workerGroupSpecs"] = [
            {name: group[name] for name in _GROUP_FIELDS if name in group} for group in groups
        ]
    return kept


def pod_seen(obj: Object) -> PodSeen:
    """A pod of a RayCluster."""
    meta = obj["metadata"]
    labels = _map(meta.get("labels"))
    status = _map(obj.get("status"))
    conditions = _conditions(status.get("conditions"))
    states = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    return PodSeen(
        name=meta["name"],
        uid=meta["uid"],
        cluster=str(labels.get(CLUSTER_LABEL, "")),
        is_head=labels.get(NODE_TYPE_LABEL) == "head",
        group=str(labels.get(GROUP_LABEL, "")),
        phase=str(status.get("phase") or ""),
        ready=any(one.type == "Ready" and one.status == "True" for one in conditions),
        deleting=bool(meta.get("deletionTimestamp")),
        created_at=seconds(meta.get("creationTimestamp")),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or "")[:_MESSAGE],
        conditions=conditions,
        containers=tuple(_container(one) for one in states),
    )


def _conditions(found: Any) -> tuple[ConditionSeen, ...]:
    return tuple(
        ConditionSeen(
            type=str(one.get("type", "")),
            status=str(one.get("status", "")),
            reason=str(one.get("reason") or ""),
            message=str(one.get("message") or "")[:_MESSAGE],
            since=seconds(one.get("lastTransitionTime")) or None,
        )
        for one in found or ()
    )


def _container(status: Object) -> ContainerSeen:
    state = _map(status.get("state"))
    waiting = _map(state.get("waiting"))
    ended = _map(state.get("terminated")) or _map(_map(status.get("lastState")).get("terminated"))
    return ContainerSeen(
        name=str(status.get("name", "")),
        id=str(status.get("containerID") or "") if "running" in state else "",
        ready=bool(status.get("ready")),
        restarts=int(status.get("restartCount") or 0),
        waiting=str(waiting.get("reason") or ""),
        waiting_message=str(waiting.get("message") or "")[:_MESSAGE],
        terminated=str(ended.get("reason") or ""),
        terminated_message=str(ended.get("message") or "")[:_MESSAGE],
        exit_code=ended.get("exitCode"),
    )


def head_container_id(pods: Iterable[PodSeen], cluster: str) -> str:
    """Id of the running Ray container of a cluster's head; "" while there is none."""
    for pod in pods:
        if pod.is_head and pod.cluster == cluster and not pod.deleting:
            running = [one for one in pod.containers if one.id and one.name not in _BESIDE_RAY]
            # An existing cluster's head container may have any name.
            running.sort(key=lambda one: one.name != _HEAD_CONTAINER)
            return running[0].id if running else ""
    return ""


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
