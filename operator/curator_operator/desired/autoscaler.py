"""Ray's autoscaler in the head pod: when there is one, and what it may see.

Called by `raycluster` and `pods`. KubeRay puts the container into the head pod and gives that pod
a service account that may patch RayClusters. User code runs in the same pod, so no token is mounted
by default; the autoscaler's container alone gets one, as a projected volume.
"""

from __future__ import annotations

from typing import Any

from curator_api.v1alpha1 import ClusterSpec
from curator_operator.desired.security import container_security

CONTAINER = "autoscaler"
TOKEN_VOLUME = "curator-autoscaler-token"  # noqa: S105 - name of a volume
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
# The kubelet renews a token after 80 % of its life; an hour and a bit is Kubernetes' own default.
_TOKEN_SECONDS = 3607
# Ray's default: a worker pod that was idle for so long goes.
IDLE_SECONDS = 60


def is_autoscaled(cluster: ClusterSpec) -> bool:
    """Whether the number of pods of some group is left to Ray's autoscaler."""
    return any(group.min_replicas < group.max_replicas for group in cluster.worker_groups)


def autoscaler_options() -> dict[str, Any]:
    """`spec.autoscalerOptions` of a RayCluster with a group that scales."""
    return {
        "version": "v2",
        "idleTimeoutSeconds": IDLE_SECONDS,
        "resources": {
            "requests": {"cpu": "200m", "memory": "512Mi"},
            "limits": {"cpu": "500m", "memory": "1Gi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [{"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True}],
    }


def token_volume() -> dict[str, Any]:
    """What a pod with a mounted token has, as a volume of its own."""
    return {
        "name": TOKEN_VOLUME,
        "projected": {
            "defaultMode": 0o440,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
        },
    }
