"""The operator, installed by Helm as a platform engineer would.

Used through the `system` fixture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.chart.helm import CHART, RELEASE, SYSTEM, helm
from tests.cluster.kind.cluster import Kind
from tests.e2e.team import RESTRICTED

READY_WITHIN = "--timeout=120s"
OPERATOR = "app.kubernetes.io/component=operator"


class System:
    """The release `curator` in `curator-system`.

    Args:
        kind: the cluster.
        home: where Helm keeps its files.

    Attributes:
        kind: the cluster.
        image: of the executor, for pipelines.
    """

    def __init__(self, kind: Kind, home: Path) -> None:
        self.kind = kind
        self.image = kind.executor_image
        self._home = home

    def values(self) -> dict[str, Any]:
        """What differs from the chart's own values."""
        repository, _, tag = self.kind.operator_image.rpartition(":")
        return {
            "image": {"repository": repository, "tag": tag},
            "config": {"defaultImage": self.kind.executor_image},
        }

    def install(self, values: dict[str, Any] | None = None) -> None:
        """Install or upgrade the release, into a namespace that wants restricted pods."""
        file = self._home / "values.json"
        file.write_text(json.dumps({**self.values(), **(values or {})}))
        if not self.kind.kubectl("get", "namespace", SYSTEM, "--ignore-not-found"):
            self.kind.kubectl("create", "namespace", SYSTEM)
            self.kind.kubectl("label", "namespace", SYSTEM, RESTRICTED)
        self.helm("upgrade", "--install", RELEASE, str(CHART), "-f", str(file), "--wait")

    def helm(self, *arguments: str) -> str:
        """What Helm prints.

        Raises:
            AssertionError: it failed.
        """
        where = ["--kubeconfig", str(self.kind.kubeconfig), "-n", SYSTEM]
        ran = helm(*arguments, *where, home=self._home)
        assert ran.returncode == 0, f"helm {' '.join(arguments)}: {ran.stderr.strip()}"
        return str(ran.stdout)

    def operator_pod(self) -> str:
        """Name of the operator's pod."""
        return self.kubectl("get", "pod", "-l", OPERATOR, "-o", "name").strip()

    def kill_operator(self) -> None:
        """SIGKILL the operator's process: its pod is deleted without grace."""
        self.kubectl("delete", "pod", "-l", OPERATOR, "--grace-period=0", "--force")

    def wait_until_ready(self) -> None:
        """Wait for the operator's pod."""
        self.kubectl("rollout", "status", f"deployment/{RELEASE}", READY_WITHIN)

    def kubectl(self, *arguments: str) -> str:
        """What `kubectl` prints in the release's namespace."""
        return self.kind.kubectl("-n", SYSTEM, *arguments)

    def keep(self, directory: Path) -> None:
        """Write down what the operator and KubeRay said."""
        logs = self.kubectl("logs", f"deployment/{RELEASE}", "--tail=3000")
        (directory / "operator.log").write_text(logs)
        kuberay = ("-n", "kuberay-system", "logs", "deployment/kuberay-operator", "--tail=2000")
        (directory / "kuberay.log").write_text(self.kind.kubectl(*kuberay))
