"""`replica_patch`: a live change of how many pods a group may have.

Called by `reconcile` while an attempt runs. Ray's autoscaler writes the same list of groups, by
position: each change tests what it was decided on, and a test that fails means: look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_api.v1alpha1 import PipelineSpec

_GROUPS = "/spec/workerGroupSpecs"


def replica_patch(seen: Mapping[str, Any], wanted: PipelineSpec) -> list[dict[str, Any]]:
    """JSON patch operations that bring a RayCluster's replica ranges to what is wanted.

    `replicas` itself is the autoscaler's where there is one. Without one it is brought into the
    new range. A cluster that was made without an autoscaler gets none by this: a range that opens
    up takes effect with the next attempt.

    Args:
        seen: `spec` of the RayCluster as it was read.
        wanted: the pipeline's spec; its own cluster.

    Returns:
        Operations in order; none if nothing differs. Groups that the cluster does not have are
        left out: they come with the next attempt.
    """
    autoscaled = bool(seen.get("enableInTreeAutoscaling", False))
    group_by_name = {
        group.name: group for group in (wanted.cluster.worker_groups if wanted.cluster else ())
    }
    operations: list[dict[str, Any]] = []
    for position, before in enumerate(seen.get("workerGroupSpecs", ())):
        group = group_by_name.get(before["groupName"])
        if group is None:
            continue
        after = {"minReplicas": group.min_replicas, "maxReplicas": group.max_replicas}
        if not autoscaled:
            running = before.get("replicas", 0)
            after["replicas"] = min(max(running, group.min_replicas), group.max_replicas)
        changes = {key: value for key, value in after.items() if before.get(key) != value}
        if not changes:
            continue
        path = f"{_GROUPS}/{position}"
        operations.append(_operation("test", f"{path}/groupName", group.name))
        operations += [
            _operation("test", f"{path}/{key}", before[key]) for key in changes if key in before
        ]
        operations += [_operation("add", f"{path}/{key}", value) for key, value in changes.items()]
    return operations


def _operation(kind: str, path: str, value: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, "value": value}
