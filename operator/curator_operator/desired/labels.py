"""Labels, annotations and owner references of a pipeline's children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "curator-operator"
PIPELINE = "curator.dev/pipeline"
ATTEMPT = "curator.dev/attempt"
# Of pods and of Ray's nodes, by which stages find their groups.
WORKER_GROUP = "curator.dev/worker-group"
FINALIZER = "curator.dev/cleanup"
SELECTOR = f"{MANAGED_BY}={MANAGER}"
KUEUE_PREFIX = "kueue.x-k8s.io/"


def child_labels(pipeline: str, attempt: int) -> dict[str, str]:
    """Labels by which a child is found again."""
    return {MANAGED_BY: MANAGER, PIPELINE: pipeline, ATTEMPT: str(attempt)}


def kueue_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What of a pipeline's labels is meant for Kueue; its RayCluster carries them too."""
    return {key: value for key, value in labels.items() if key.startswith(KUEUE_PREFIX)}


def owner_reference(name: str, uid: str) -> dict[str, Any]:
    """The pipeline as the controller of a child: the child goes when the pipeline does."""
    return {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
