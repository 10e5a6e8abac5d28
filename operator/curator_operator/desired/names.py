"""Names of a pipeline's children. Deterministic, so that making one twice makes one.

Each holds part of the resource's uid: a pipeline deleted and made again under its old name never
meets its predecessor's cluster.
"""

from __future__ import annotations

PROGRESS_PORT = 8090
# Kubernetes wants at most 15 characters.
DRIVER_PORT_NAME = "curator-driver"
DASHBOARD_PORT = 8265
# The first container of head and workers, named as in KubeRay's own samples.
HEAD_CONTAINER = "ray-head"
WORKER_CONTAINER = "ray-worker"
# Beside the Ray container of the head: prints what the driver says.
LOG_CONTAINER = "driver-log"
# What a template for all pods calls whichever of the two it is laid over.
RAY_CONTAINER = "ray"
MANIFEST_KEY = "pipeline.yaml"
MANIFEST_FOLDER = "/etc/curator"
TOKEN_KEY = "auth_token"  # noqa: S105 - the key that KubeRay reads, no secret


def cluster_name(pipeline: str, uid: str, attempt: int) -> str:
    """RayCluster of an attempt. At most 53 characters, KubeRay's limit: 40 + 1 + 5 + 1 + digits."""
    return f"{pipeline}-{uid[:5]}-{attempt}"


def submission_id(uid: str, attempt: int) -> str:
    """Ray job of an attempt."""
    return f"{uid[:8]}-{attempt}"


def config_map_name(pipeline: str, uid: str, attempt: int) -> str:
    """ConfigMap with the manifest of an attempt."""
    return f"{cluster_name(pipeline, uid, attempt)}-pipeline"


def token_secret_name(pipeline: str, uid: str, attempt: int) -> str:
    """Secret with the token that opens the cluster of an attempt."""
    return f"{cluster_name(pipeline, uid, attempt)}-token"
