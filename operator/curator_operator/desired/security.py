"""What every pod gets so that Pod Security's `restricted` profile admits it.

Used by `pods` and `autoscaler`; `checks` refuses templates that would take any of it away.
"""

from __future__ import annotations

from typing import Any

# The user of Ray's own images.
USER_ID = 1000


def pod_security() -> dict[str, Any]:
    """Security context of a pod.

    `fsGroup`, so that a fresh volume can be written to by a user that is not root; a large one
    whose root has the right group already is not walked through at every start.
    """
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """Security context of a container. KubeRay copies the first one's to `wait-gcs-ready`."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
