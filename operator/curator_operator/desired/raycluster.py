"""`raycluster`: the RayCluster of an attempt.

Called by `reconcile` when an attempt begins; the result is made as it is, once. For KubeRay 1.5.1
and later, whose token authentication it uses.
"""

from __future__ import annotations

import json
from typing import Any

from curator_api.v1alpha1 import PipelineSpec, WorkerGroup
from curator_operator.desired.attempt import Attempt, PipelineIdentity, own_cluster
from curator_operator.desired.autoscaler import autoscaler_options, is_autoscaled
from curator_operator.desired.checks import check_cluster, check_pods
from curator_operator.desired.errors import refuse
from curator_operator.desired.labels import WORKER_GROUP, kueue_labels
from curator_operator.desired.pods import head_template, worker_template
from curator_operator.settings import OperatorSettings

# KubeRay 1.6 and later: once all pods were ready, a head that goes is not made again. A new head
# knows nothing of the job and would take its submission a second time; without one, "no head" says
# that the attempt is lost. Suspension by Kueue resets it, so the head comes back after that.
_HEAD_STAYS_AWAY = "ray.io/disable-provisioned-head-restart"
# The executor places stages by either; Ray itself sets the second, but only on pods that are there,
# and the autoscaler knows of a group without pods only what is written here.
_GROUP_LABELS = (WORKER_GROUP, "ray.io/node-group")
_ACCELERATOR_LABEL = "ray.io/accelerator-type"


def raycluster(
    pipeline: PipelineIdentity, spec: PipelineSpec, attempt: int, settings: OperatorSettings
) -> dict[str, Any]:
    """The RayCluster of an attempt.

    Args:
        pipeline: name, namespace, uid, labels and annotations of the pipeline.
        spec: what it wants; `spec.cluster` without `existing`.
        attempt: number of the attempt, from 1.
        settings: image, Ray version and allowed service accounts.

    Raises:
        DesiredError: the spec asks for something that no pod may have; names every field.
    """
    this = Attempt(pipeline, attempt)
    cluster = own_cluster(spec)
    refuse(check_cluster(cluster))
    head = head_template(this, spec, settings)
    workers = [worker_template(this, spec, group, settings) for group in cluster.worker_groups]
    refuse(check_pods(spec, [head, *workers], settings))
    autoscaled = is_autoscaled(cluster)
    metadata = this.metadata(this.cluster)
    metadata["labels"] |= kueue_labels(pipeline.labels)
    metadata["annotations"] = {_HEAD_STAYS_AWAY: "true"} | kueue_labels(pipeline.annotations)
    body: dict[str, Any] = {
        "rayVersion": cluster.ray_version or settings.ray_version,
        "authOptions": {"mode": "token", "secretName": this.token_secret},
        "enableInTreeAutoscaling": autoscaled,
    }
    if autoscaled:
        body["autoscalerOptions"] = autoscaler_options()
    body["headGroupSpec"] = {
        # No CPUs and no GPUs for stages: the driver's own pod must not starve or be starved.
        "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0", "num-gpus": "0"},  # noqa: S104 - reached by the operator; a token is asked for
        "template": head,
    }
    body["workerGroupSpecs"] = [
        _worker_group(group, template)
        for group, template in zip(cluster.worker_groups, workers, strict=True)
    ]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": metadata,
        "spec": body,
    }


def _worker_group(group: WorkerGroup, template: dict[str, Any]) -> dict[str, Any]:
    return {
        "groupName": group.name,
        "replicas": group.min_replicas,
        "minReplicas": group.min_replicas,
        "maxReplicas": group.max_replicas,
        "labels": _ray_labels(group),
        "rayStartParams": _start_params(group),
        "template": template,
    }


def _ray_labels(group: WorkerGroup) -> dict[str, str]:
    """Labels of the group's Ray nodes; KubeRay puts them on the pods too."""
    found = dict.fromkeys(_GROUP_LABELS, group.name)
    if group.accelerator is not None and group.accelerator.type is not None:
        found[_ACCELERATOR_LABEL] = group.accelerator.type
    return found


def _start_params(group: WorkerGroup) -> dict[str, str]:
    """What `ray start` is told; CPUs and memory KubeRay reads from the container's limits.

    GPUs are always said: KubeRay and the autoscaler know different sets of resource names, and a
    pod that asked for none may see those of its node.
    """
    accelerator = group.accelerator
    params = {"num-gpus": str(accelerator.count if accelerator is not None else 0)}
    resources = _ray_resources(group)
    if resources:
        # In quotes, as KubeRay puts it into a shell command and the autoscaler takes the first and
        # the last character away.
        params["resources"] = f"'{json.dumps(resources)}'"
    return params


def _ray_resources(group: WorkerGroup) -> dict[str, int]:
    """Custom resources of the group's Ray nodes: whole numbers, as the autoscaler wants them."""
    if group.accelerator is None or group.accelerator.type is None:
        return {}
    return {f"accelerator_type:{group.accelerator.type}": 1}
