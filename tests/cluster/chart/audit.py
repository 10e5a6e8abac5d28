"""What was asked of an API server, and by whom, out of its audit log; and what roles allow.

The API server of these tests also insists, as OpenShift's does, on the right to name an owner that
blocks deletion.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import Program

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "Panic"],
    "rules": [{"level": "Metadata"}],
}


class Right(NamedTuple):
    """A verb on a resource, `pods` or `deployments/scale`, of an API group."""

    group: str
    resource: str
    verb: str


class AuditedControlPlane(ControlPlane):
    """An API server that writes down what it was asked."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._audit_log = directory / "audit.jsonl"

    def _run(self, name: str, *arguments: str) -> Program:
        more: tuple[str, ...] = ()
        if name == "kube-apiserver":
            policy = self.directory / "audit-policy.json"
            policy.write_text(json.dumps(POLICY))
            more = (
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self._audit_log}",
                "--audit-log-mode=blocking-strict",
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            )
        return super()._run(name, *arguments, *more)

    def requests(self, user: str, since: int = 0) -> list[dict[str, Any]]:
        """The audit log's entries of a user, in order, without the first `since`."""
        whole, _, _unfinished = self._audit_log.read_text().rpartition("\n")
        entries = [json.loads(line) for line in whole.splitlines() if f'"{user}"' in line]
        return [each for each in entries if each["user"]["username"] == user][since:]

    def used(self, user: str, since: int) -> set[Right]:
        """The rights that a user made use of after its first `since` requests."""
        return {
            _right(each["verb"], each["objectRef"])
            for each in self.requests(user, since)
            # Discovery is open to everybody and has no object.
            if "resource" in each.get("objectRef", {})
        }

    def refused(self, user: str, since: int) -> list[str]:
        """What a user asked for and may not have, after its first `since` requests."""
        return [
            f"{each['verb']} {each['requestURI']}"
            for each in self.requests(user, since)
            if each.get("responseStatus", {}).get("code") in {401, 403}
        ]


def service_account(namespace: str, name: str) -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


def granted(rules: list[dict[str, Any]]) -> set[Right]:
    """What the rules of roles allow."""
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _right(verb: str, where: dict[str, Any]) -> Right:
    resource = "/".join(filter(None, (where["resource"], where.get("subresource"))))
    return Right(where.get("apiGroup", ""), resource, verb)
