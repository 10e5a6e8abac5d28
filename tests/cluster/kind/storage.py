"""Volumes for whoever claims one, where the nodes' image brings nothing that makes them.

Called by `cluster`. All nodes see the same folder at `NODE_VOLUMES`, which is also where kind's own
provisioner of volumes puts them, so that a claim can be read on this machine in either case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NODE_VOLUMES = "/var/local-path-provisioner"
# Kubernetes' own one, for tests: its folders are root's and on one node alone.
UNUSABLE = "kubernetes.io/host-path"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
CLASS = "standard"
# A volume is used once: its content stays when its claim goes, for whoever wants to see it.
VOLUMES = 30


def offered(folder: Path) -> Iterator[dict[str, Any]]:
    """The class and its volumes, each a folder that pods may write to, whoever they run as."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": default},
        "provisioner": NO_PROVISIONER,
    }
    for number in range(VOLUMES):
        name = f"volume-{number:02}"
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o777)
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "storageClassName": CLASS,
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "capacity": {"storage": "100Gi"},
                "hostPath": {"path": f"{NODE_VOLUMES}/{name}"},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }


def as_list(objects: Iterator[dict[str, Any]]) -> str:
    """Objects as one document for `kubectl apply`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
