"""The chart on a real API server: installed, upgraded, uninstalled. No pod of it runs there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.chart.audit import AuditedControlPlane, Right, service_account
from tests.cluster.chart.helm import CHART, RELEASE, SYSTEM, objects
from tests.cluster.chart.installed import CRD, ENFORCE, HOOK, SECRET, Installed

FINALIZER = "curator.dev/cleanup"
PIPELINE: dict[str, Any] = {
    "apiVersion": "curator.dev/v1alpha1",
    "kind": "CuratorPipeline",
    "metadata": {"name": "clean", "finalizers": [FINALIZER]},
    "spec": {
        "stages": [{"name": "read", "class": "curator_executor.stages.JsonlReader"}],
        "cluster": {"existing": {"name": "shared"}},
    },
}
CLUSTER_WIDE_KINDS = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}


def held_by(plane: AuditedControlPlane, team: str) -> list[str]:
    """The finalizers of the pipeline."""
    found = json.loads(plane.kubectl("get", "cpl", "clean", "-n", team, "-o", "json"))
    return list(found["metadata"].get("finalizers", []))


def test_next_command_is_told(release: Installed) -> None:
    said = release.install()
    assert f"kubectl rollout status --namespace {SYSTEM} deployment/{RELEASE}" in said
    assert "KubeRay is not installed" not in said


def test_release_lists_all_that_it_made(release: Installed) -> None:
    release.install({"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": True}})
    for each in objects(release.helm("get", "manifest", RELEASE)):
        meta = each["metadata"]
        assert meta.get("namespace") == (None if each["kind"] in CLUSTER_WIDE_KINDS else SYSTEM)
        assert release.exists(each["kind"], meta["name"])


def test_pods_are_taken_under_the_restricted_standard(
    chart_plane: AuditedControlPlane, release: Installed
) -> None:
    chart_plane.kubectl("label", "namespace", SYSTEM, f"{ENFORCE}=restricted")
    release.install()
    pod: Any = release.get("deployment")["spec"]["template"]
    hooks = objects(release.helm("get", "hooks", RELEASE))
    others = [each for each in hooks if each["kind"] in {"Pod", "Job"}]
    assert {each["kind"] for each in others} == {"Pod", "Job"}
    # The hook's account is only there while it runs.
    specs = [pod["spec"]] + [
        {
            **each.get("spec", {}).get("template", each)["spec"],
            "serviceAccountName": RELEASE,
        }
        for each in others
    ]
    for spec in specs:
        assert refusal(chart_plane, spec) == ""
        (container,) = spec["containers"]
        container["securityContext"]["allowPrivilegeEscalation"] = True
        assert "violates PodSecurity" in refusal(chart_plane, spec)


def refusal(plane: AuditedControlPlane, spec: Any) -> str:
    """What the API server says to a pod; "" if it takes it."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    if "restartPolicy" not in spec:
        spec["restartPolicy"] = "Always"
    ran = plane.try_kubectl(
        "create", "--dry-run=server", "-n", SYSTEM, "-f", "-", given=json.dumps(pod)
    )
    return ran.stderr


def test_upgrade_keeps_the_key_and_upgrades_the_definition(
    chart_plane: AuditedControlPlane, release: Installed
) -> None:
    release.install()
    key = release.token_key()
    assert len(key) == 48
    # As an older version of the chart would have left it.
    older = [{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]
    chart_plane.kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps(older))
    release.install({"config": {"workers": 3}})
    assert release.token_key() == key
    columns = release.get("crd", CRD)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert columns[0]["name"].lower() == "phase"
    (container,) = release.get("deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "CURATOR_WORKERS", "value": "3"} in container["env"]


def test_named_secret_is_used_and_none_is_made(release: Installed) -> None:
    release.install({"tokenKey": {"existingSecret": "mine"}})
    assert not release.exists("secret", SECRET)


def test_missing_namespace_is_told(release: Installed) -> None:
    with pytest.raises(AssertionError, match='namespaces "no-such-team" not found'):
        release.install({"watchNamespaces": ["no-such-team"]})


def test_installed_anew_it_has_its_old_key(release: Installed) -> None:
    release.install()
    key = release.token_key()
    release.uninstall("--no-hooks", run_hook=False)
    assert not release.exists("deployment")
    release.install()
    assert release.token_key() == key


@pytest.mark.parametrize("everywhere", [False, True])
def test_uninstall_leaves_pipelines_that_can_be_deleted(
    chart_plane: AuditedControlPlane, release: Installed, team: str, everywhere: bool
) -> None:
    """The hook needs each of its rights, and they are gone with it."""
    release.install({} if everywhere else {"watchNamespaces": [team]})
    chart_plane.kubectl("create", "-n", team, "-f", "-", given=json.dumps(PIPELINE))
    before = len(chart_plane.requests(service_account(SYSTEM, HOOK)))
    said = release.uninstall()
    assert "1 pipelines released" in said
    assert not release.exists("deployment")
    assert release.exists("crd", CRD)
    assert release.exists("secret", SECRET)
    assert held_by(chart_plane, team) == []
    chart_plane.kubectl("delete", "cpl", "clean", "-n", team, "--timeout=20s")

    user = service_account(SYSTEM, HOOK)
    assert chart_plane.refused(user, before) == []
    assert release.rights_of_the_hook == chart_plane.used(user, before)
    assert release.rights_of_the_hook == {
        Right("apps", "deployments/scale", "patch"),
        Right("", "pods", "list"),
        Right("curator.dev", "curatorpipelines", "list"),
        Right("curator.dev", "curatorpipelines", "patch"),
    }
    for kind in ("serviceaccount", "role", "rolebinding", "job"):
        assert not release.exists(kind, HOOK)
    assert not release.exists("clusterrole", f"{SYSTEM}-{HOOK}")


def test_hook_stops_the_operator(chart_plane: AuditedControlPlane, release: Installed) -> None:
    release.install()
    release.uninstall()
    asked = [
        each["requestURI"]
        for each in chart_plane.requests(service_account(SYSTEM, HOOK))
        if each["verb"] == "patch"
    ]
    assert asked[-1] == f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{RELEASE}/scale"


def test_uninstall_takes_all_when_that_is_asked(release: Installed) -> None:
    release.install()
    release.install({"crds": {"keep": False}})
    release.uninstall()
    assert not release.exists("secret", SECRET)
    assert not release.exists("crd", CRD)


def test_second_release_leaves_the_definition_to_the_first(
    chart_plane: AuditedControlPlane, release: Installed, team: str
) -> None:
    release.install()
    file = f"--set=crds.install=false,watchNamespaces={{{team}}}"
    arguments = ("install", "second", str(CHART), "--namespace", team)
    with pytest.raises(AssertionError, match="cannot be imported into the current release"):
        release.helm(*arguments)
    release.helm(*arguments, file)
    release.helm("uninstall", "second", "--no-hooks", "--namespace", team)
    assert release.exists("crd", CRD)
