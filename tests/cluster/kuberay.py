"""KubeRay's operator as a process beside the API server, and the RayClusters that it serves.

Used by the `kuberay_operator` fixture and by tests that look at RayClusters.
"""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import binaries
from tests.cluster.processes import Program, free_port

READY_WITHIN_S = 60.0
# KubeRay reconciles one RayCluster at a time by default; scale tests have hundreds.
CONCURRENCY = 8


class KubeRayOperator:
    """The running operator; a context manager that ends it.

    Args:
        kubeconfig: whose rights it has.
        directory: where its log goes.
    """

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self._kubeconfig = kubeconfig
        self._directory = directory
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is up.

        Raises:
            ProgramEnded: it ended; the message has the end of its log.
            TookTooLong: it is not up in time.
        """
        port = free_port()
        self._program = Program(
            "kuberay-operator",
            [
                binaries.find("kuberay-operator"),
                f"--kubeconfig={self._kubeconfig}",
                "--enable-leader-election=false",
                "--metrics-addr=0",
                f"--health-probe-bind-address=127.0.0.1:{port}",
                f"--reconcile-concurrency={CONCURRENCY}",
            ],
            self._directory,
            # Its webhooks need a certificate that the API server knows.
            {**os.environ, "ENABLE_WEBHOOKS": "false"},
        )
        self._program.wait_until(lambda: _is_ready(port), "ready", READY_WITHIN_S)

    def stop(self) -> None:
        """End it, for tests of what happens without KubeRay; `start` starts it anew."""
        if self._program:
            self._program.stop()

    def log_text(self) -> str:
        """All that it has logged."""
        return self._program.log_text() if self._program else ""


def crds(directory: Path) -> list[Path]:
    """Definitions of the kinds that KubeRay's operator watches.

    RayClusters as the pinned version has them. Of RayJobs and RayServices, which nothing here
    makes, only that they exist: their own are 2.3 MB of pod templates, over which an API server
    spends 6 s of processor time.

    Args:
        directory: where those two are written.
    """
    module = binaries.module_directory("kuberay", binaries.KUBERAY)
    found = [module / "config" / "crd" / "bases" / "ray.io_rayclusters.yaml"]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for kind in ("RayJob", "RayService"):
        plural = f"{kind.lower()}s"
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": anything},
        }
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.ray.io"},
            "spec": {
                "group": "ray.io",
                "names": {"kind": kind, "plural": plural},
                "scope": "Namespaced",
                "versions": [version],
            },
        }
        path = directory / f"{plural}.json"
        path.write_text(json.dumps(definition))
        found.append(path)
    return found


def ray_cluster(name: str, **spec: Any) -> dict[str, Any]:
    """A RayCluster with a head and no workers.

    Args:
        name: its name.
        spec: fields laid over the rest of its spec.
    """
    limits = {"cpu": "1", "memory": "2Gi"}
    head = {"name": "ray-head", "image": "rayproject/ray:2.60.0", "resources": {"limits": limits}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0"},
                "template": {"spec": {"containers": [head]}},
            },
            **spec,
        },
    }


def condition(resource: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """A condition of a resource; None while it has none of that type."""
    conditions = resource.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), None)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
