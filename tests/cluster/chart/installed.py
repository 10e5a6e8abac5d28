"""A release of the chart on a real API server, and its pods, which nobody runs there.

Used by the `release` fixture. The operator's process and that of the uninstall hook are started by
the tests, with the arguments, environment and rights that their pods would have.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster import binaries
from tests.cluster.chart.audit import AuditedControlPlane, Right, granted
from tests.cluster.chart.helm import CHART, RELEASE, SYSTEM, Object, environment, helm
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.processes import eventually

CRD = "curatorpipelines.curator.dev"
SECRET = f"{RELEASE}-token-key"
HOOK = f"{RELEASE}-uninstall"
# Label of a namespace: the standard that its pods must meet.
ENFORCE = "pod-security.kubernetes.io/enforce"


class Installed:
    """The release `curator` in `curator-system`.

    Args:
        plane: where.
        home: a folder for files.

    Attributes:
        rights_of_the_hook: what the uninstall hook might do while it ran.
    """

    def __init__(self, plane: AuditedControlPlane, home: Path) -> None:
        self._plane = plane
        self._home = home
        self.rights_of_the_hook: set[Right] = set()

    def install(self, values: Object | None = None, *options: str) -> str:
        """What `helm upgrade --install` prints."""
        file = self._home / "values.json"
        file.write_text(json.dumps(values or {}))
        return self.helm("upgrade", "--install", RELEASE, str(CHART), "-f", str(file), *options)

    def helm(self, *arguments: str) -> str:
        """What Helm prints.

        Raises:
            AssertionError: it failed; the message has what it said.
        """
        where = self._where()
        if "--namespace" in arguments:
            where = where[:2]
        ran = helm(*arguments, *where, home=self._home)
        if ran.returncode:
            raise AssertionError(f"helm {' '.join(arguments)}: {ran.stderr.strip()}")
        return str(ran.stdout)

    def get(self, kind: str, name: str = RELEASE, namespace: str = SYSTEM) -> Object:
        """An object."""
        found: Object = json.loads(
            self._plane.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        )
        return found

    def exists(self, kind: str, name: str = RELEASE, namespace: str = SYSTEM) -> bool:
        """Whether an object is there."""
        ran = self._plane.try_kubectl("get", kind, name, "-n", namespace)
        return ran.returncode == 0

    def token_key(self) -> str:
        """The key from which tokens are made."""
        return base64.b64decode(self.get("secret", SECRET)["data"]["token-key"]).decode()

    def rights(self, service_account: str) -> set[Right]:
        """All that a service account of the release may do, wherever that is."""
        rules: list[Object] = []
        for kind in ("rolebindings", "clusterrolebindings"):
            listed = json.loads(self._plane.kubectl("get", kind, "-A", "-o", "json"))["items"]
            for each in listed:
                subjects = {
                    (one.get("namespace"), one["name"]) for one in each.get("subjects") or []
                }
                if (SYSTEM, service_account) in subjects:
                    place = each["metadata"].get("namespace", "")
                    role = self.get(each["roleRef"]["kind"], each["roleRef"]["name"], place)
                    rules += role["rules"]
        return granted(rules)

    def operator(self, directory: Path, settings: dict[str, str]) -> OperatorProcess:
        """The operator that the Deployment describes, not started."""
        spec = self.get("deployment")["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        given = {each["name"]: self._value(each) for each in container["env"]}
        del given["CURATOR_HTTP_PORT"]  # several tests on one machine
        kubeconfig = self._plane.service_account_kubeconfig(SYSTEM, spec["serviceAccountName"])
        return OperatorProcess(kubeconfig, directory, {**given, **settings})

    def uninstall(self, *options: str, run_hook: bool = True) -> str:
        """Run `helm uninstall` and what its hook's pod would run.

        Returns:
            What the hook said, and what Helm said.
        """
        command = [str(binaries.find("helm")), "uninstall", RELEASE, *options, *self._where()]
        with subprocess.Popen(
            command,
            env=environment(self._home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as going:
            try:
                said = self._play_the_hook() if run_hook else ""
                said += going.communicate(timeout=60)[0]
            finally:
                going.kill()
        assert going.returncode == 0, said
        return said

    def remove(self) -> None:
        """Take away what is left; not the definition of pipelines, nor the namespace.

        A namespace takes its time to go, and there is nothing of ours that would be left in it.
        """
        helm("uninstall", RELEASE, "--no-hooks", *self._where(), home=self._home)
        self._plane.kubectl("delete", "secret", SECRET, "-n", SYSTEM, "--ignore-not-found")
        self._plane.kubectl("delete", "job", HOOK, "-n", SYSTEM, "--ignore-not-found")
        self._plane.kubectl("label", "namespace", SYSTEM, f"{ENFORCE}-")

    def _where(self) -> list[str]:
        return ["--kubeconfig", str(self._plane.kubeconfig), "-n", SYSTEM]

    def _value(self, variable: dict[str, Any]) -> str:
        if "valueFrom" not in variable:
            return str(variable.get("value", ""))
        wanted = variable["valueFrom"]["secretKeyRef"]
        held = self.get("secret", wanted["name"])["data"][wanted["key"]]
        return base64.b64decode(held).decode()

    def _play_the_hook(self) -> str:
        """What the process of the hook's pod says; then its Job is said to be done."""
        eventually(lambda: self.exists("job", HOOK), "the uninstall hook's Job")
        spec = self.get("job", HOOK)["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        kubeconfig = self._plane.service_account_kubeconfig(SYSTEM, spec["serviceAccountName"])
        self.rights_of_the_hook = self.rights(spec["serviceAccountName"])
        assert container["command"][0] == "python"
        ran = subprocess.run(
            [sys.executable, *container["command"][1:], *container["args"]],
            env={**environment(self._home), "KUBECONFIG": str(kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        ended = [
            {"type": kind, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {
            "conditions": ended,
            "startTime": now,
            "completionTime": now,
            "succeeded": 1,
            "uncountedTerminatedPods": {},
        }
        patch = json.dumps({"status": status})
        self._plane.kubectl(
            "patch", "job", HOOK, "-n", SYSTEM, "--subresource=status", "--type=merge", "-p", patch
        )
        return str(ran.stdout)
