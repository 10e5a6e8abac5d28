"""What a pod template, a volume, a variable or a mount may not say, and how the rest is merged."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from curator_operator.desired import DesiredError
from curator_operator.desired.merge import merge_template
from tests.unit.operator.desired.scenarios import (
    MINIMAL,
    TEMPLATES,
    cluster_of,
    pods_of,
    spec_of,
    with_cluster,
    with_group,
)

RAY = "containers: [{name: ray, %s}]"
SIDE = "containers: [{name: side, image: a, %s}]"
CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "corpus"}}


def template(text: str) -> dict[str, Any]:
    """The pod part of a template."""
    return {"spec": yaml.safe_load(text)}


def problems_with(**changes: Any) -> list[str]:
    with pytest.raises(DesiredError) as caught:
        cluster_of(with_cluster(**changes))
    return [str(problem) for problem in caught.value.problems]


# Path below the template, the template's pod.
REFUSED = [
    (".hostNetwork", "hostNetwork: true"),
    (".hostPID", "hostPID: true"),
    (".hostIPC", "hostIPC: true"),
    (".shareProcessNamespace", "shareProcessNamespace: true"),
    (".automountServiceAccountToken", "automountServiceAccountToken: true"),
    (".serviceAccount", "serviceAccount: admin"),
    (".restartPolicy", "restartPolicy: Always"),
    (".securityContext.runAsNonRoot", "securityContext: {runAsNonRoot: false}"),
    (".securityContext.runAsUser", "securityContext: {runAsUser: 0}"),
    (
        ".securityContext.seccompProfile.type",
        "securityContext: {seccompProfile: {type: Unconfined}}",
    ),
    (
        ".securityContext.appArmorProfile.type",
        "securityContext: {appArmorProfile: {type: Unconfined}}",
    ),
    (".securityContext.sysctls", "securityContext: {sysctls: [{name: a, value: b}]}"),
    (".securityContext.windowsOptions", "securityContext: {windowsOptions: {hostProcess: true}}"),
    (".containers[0].securityContext.privileged", RAY % "securityContext: {privileged: true}"),
    (
        ".containers[0].securityContext.allowPrivilegeEscalation",
        SIDE % "securityContext: {allowPrivilegeEscalation: true}",
    ),
    (
        ".initContainers[0].securityContext.runAsUser",
        "initContainers: [{name: first, image: a, securityContext: {runAsUser: 0}}]",
    ),
    (
        ".containers[0].securityContext.capabilities.add",
        RAY % "securityContext: {capabilities: {add: [SYS_ADMIN]}}",
    ),
    (
        ".containers[0].securityContext.capabilities.drop",
        RAY % "securityContext: {capabilities: {drop: []}}",
    ),
    (".containers[0].securityContext.procMount", RAY % "securityContext: {procMount: Unmasked}"),
    (".containers[0].command", RAY % "command: [bash]"),
    (".containers[0].args", RAY % "args: [ray start]"),
    (".containers[0].resources.limits.cpu", RAY % 'resources: {limits: {cpu: "9"}}'),
    (".containers[0].resources.limits.memory", RAY % "resources: {limits: {memory: 9Gi}}"),
    (".containers[0].env[0].name", RAY % "env: [{name: RAY_AUTH_MODE, value: disabled}]"),
    (".containers[0].env[0].name", RAY % "env: [{name: RAY_AUTH_TOKEN, value: abc}]"),
    (".containers[0].env[0].name", RAY % "env: [{name: RAY_REDIS_ADDRESS, value: abc}]"),
    (".containers[0].ports[0].containerPort", RAY % "ports: [{containerPort: 8090}]"),
    (".containers[0].ports[0].name", RAY % "ports: [{containerPort: 9000, name: dashboard}]"),
    (".containers[0].ports[0].hostPort", RAY % "ports: [{containerPort: 9000, hostPort: 9000}]"),
    (
        ".containers[0].volumeMounts[0].mountPath",
        RAY % "volumeMounts: [{name: shared-mem, mountPath: /etc//curator}]",
    ),
    (
        ".containers[0].volumeMounts[0].mountPath",
        RAY % "volumeMounts: [{name: shared-mem, mountPath: /var/run/secrets}]",
    ),
    (
        ".containers[0].volumeMounts[0].name",
        SIDE % "volumeMounts: [{name: curator-autoscaler-token, mountPath: /t}]",
    ),
    (".containers[0].name", "containers: [{name: autoscaler, env: [{name: A, value: b}]}]"),
    (".initContainers[0].name", "initContainers: [{name: wait-gcs-ready, image: a}]"),
    (".volumes[0].hostPath", "volumes: [{name: disk, hostPath: {path: /}}]"),
    (
        ".volumes[0].projected.sources[0].serviceAccountToken",
        "volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]",
    ),
    (".volumes[0].name", "volumes: [{name: curator-pipeline, emptyDir: {}}]"),
    (".containers", "containers: {name: ray}"),
    (".containers[0]", "containers: [{image: a}]"),
    (".containers[0].env", RAY % "env: {A: b}"),
    (".containers[0].volumeMounts[0]", RAY % "volumeMounts: [{name: data}]"),
    (".securityContext", "securityContext: none"),
    (".containers[0].securityContext", RAY % "securityContext: null"),
    (".nodeSelector.a", "nodeSelector: {a: null}"),
]


@pytest.mark.parametrize(("path", "pod"), REFUSED)
def test_template_for_all_pods_is_refused_at_the_field(path: str, pod: str) -> None:
    said = problems_with(podTemplate=template(pod))
    assert any(text.startswith(f"spec.cluster.podTemplate.spec{path}: ") for text in said), said


@pytest.mark.parametrize(("path", "pod"), REFUSED)
def test_template_of_a_group_is_refused_at_the_field(path: str, pod: str) -> None:
    with pytest.raises(DesiredError) as caught:
        cluster_of(with_group(podTemplate=template(pod)))
    where = f"spec.cluster.workerGroups[0].podTemplate.spec{path}"
    assert where in [problem.path for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (".kind", {"kind": "Pod"}),
        (".spec", {"spec": []}),
        (".metadata", {"metadata": "a"}),
        (".metadata.name", {"metadata": {"name": "a"}}),
        (".metadata.ownerReferences", {"metadata": {"ownerReferences": []}}),
        (".metadata.labels", {"metadata": {"labels": ["a"]}}),
        (".metadata.labels[ray.io/cluster]", {"metadata": {"labels": {"ray.io/cluster": "a"}}}),
        (
            ".metadata.labels[curator.dev/pipeline]",
            {"metadata": {"labels": {"curator.dev/pipeline": "a"}}},
        ),
        (
            ".metadata.labels[app.kubernetes.io/managed-by]",
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": "a"}}},
        ),
        (
            ".metadata.labels[kueue.x-k8s.io/queue-name]",
            {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "a"}}},
        ),
        (
            ".metadata.annotations[ray.io/overwrite-container-cmd]",
            {"metadata": {"annotations": {"ray.io/overwrite-container-cmd": "true"}}},
        ),
    ],
)
def test_what_belongs_to_others_is_refused_in_metadata(path: str, given: dict[str, Any]) -> None:
    said = problems_with(podTemplate=given)
    assert any(text.startswith(f"spec.cluster.podTemplate{path}: ") for text in said), said


def test_every_problem_is_said_at_once() -> None:
    pod = template("{hostNetwork: true, hostPID: true, volumes: [{name: a, hostPath: {path: /}}]}")
    assert len(problems_with(podTemplate=pod)) == 3


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("env[0].name", {"env": [{"name": "RAY_AUTH_TOKEN", "value": "a"}]}),
        ("volumes[0].hostPath", {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}),
        ("volumes[0].name", {"volumes": [{"name": "curator-x", "emptyDir": {}}]}),
        (
            "volumeMounts[0].mountPath",
            {"volumes": [CLAIM], "volumeMounts": [{"name": "data", "mountPath": "/etc"}]},
        ),
    ],
)
def test_fields_of_the_cluster_are_held_to_the_same(path: str, changes: dict[str, Any]) -> None:
    said = problems_with(**changes)
    assert any(text.startswith(f"spec.cluster.{path}: ") for text in said), said


def test_allowed_service_account_is_used_by_all_pods() -> None:
    for pod in pods_of(with_cluster(serviceAccountName="curator-jobs")):
        assert pod["spec"]["serviceAccountName"] == "curator-jobs"


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("spec.cluster.serviceAccountName", {"serviceAccountName": "admin"}),
        ("spec.cluster.serviceAccountName", {"serviceAccountName": "default"}),
        (
            "spec.cluster.podTemplate.spec.serviceAccountName",
            {"podTemplate": template("serviceAccountName: admin")},
        ),
    ],
)
def test_service_account_that_is_not_allowed_is_refused_where_it_is_named(
    path: str, changes: dict[str, Any]
) -> None:
    (said,) = problems_with(**changes)
    assert said.startswith(f"{path}: wanted one of the service accounts that pipelines may use")


def test_service_account_of_a_groups_template_is_judged_after_merging() -> None:
    with pytest.raises(DesiredError) as caught:
        cluster_of(with_group(podTemplate=template("serviceAccountName: admin")))
    assert [problem.path for problem in caught.value.problems] == [
        "spec.cluster.workerGroups[0].podTemplate.spec.serviceAccountName"
    ]


def test_mount_without_a_volume_is_refused() -> None:
    pod = template(RAY % "volumeMounts: [{name: shared-men, mountPath: /a}]")
    head, group = problems_with(podTemplate=pod)
    assert head.startswith('spec.cluster.head: container ray-head mounts "shared-men" at /a')
    assert group.endswith("Did you mean shared-mem?")


@pytest.mark.parametrize("kind", ["checkpoint", "deadLetters", "artifacts"])
def test_location_on_a_volume_that_goes_with_the_pod_is_refused(kind: str) -> None:
    spec = yaml.safe_load(MINIMAL) | {kind: {"uri": "file:///scratch/a"}}
    spec["cluster"] |= {
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    with pytest.raises(DesiredError) as caught:
        cluster_of(spec_of(yaml.safe_dump(spec)))
    assert {problem.path for problem in caught.value.problems} == {f"spec.{kind}.uri"}


def test_location_beside_the_manifest_is_refused() -> None:
    spec = yaml.safe_load(MINIMAL) | {"artifacts": {"uri": "file:///etc/curator/a"}}
    spec["cluster"]["podTemplate"] = template("priorityClassName: batch")
    with pytest.raises(DesiredError) as caught:
        cluster_of(spec_of(yaml.safe_dump(spec)))
    head = caught.value.problems[0]
    assert (head.path, "lasting mounts: none" in head.message) == ("spec.artifacts.uri", True)


def test_location_may_lie_where_a_template_mounts_a_claim() -> None:
    spec = yaml.safe_load(MINIMAL) | {"checkpoint": {"uri": "file:///data/a"}}
    mount = template(RAY % "volumeMounts: [{name: data, mountPath: /data}]")
    mount["spec"]["volumes"] = [CLAIM]
    spec["cluster"]["podTemplate"] = mount
    assert cluster_of(spec_of(yaml.safe_dump(spec)))


def test_templates_are_laid_over_ours_and_the_groups_over_the_clusters() -> None:
    head, worker = pods_of(spec_of(TEMPLATES))
    levels = [
        next(
            item["value"] for item in pod["spec"]["containers"][0]["env"] if item["name"] == "LEVEL"
        )
        for pod in (head, worker)
    ]
    assert levels == ["debug", "trace"]


def test_a_template_may_speak_of_the_heads_or_the_workers_container_alone() -> None:
    pod = template("""
      containers:
      - {name: ray-head, env: [{name: WHERE, value: head}]}
      - {name: ray-worker, env: [{name: WHERE, value: worker}]}
    """)
    found = [made["spec"]["containers"] for made in pods_of(with_cluster(podTemplate=pod))]
    assert [(containers[0]["name"], containers[0]["env"][-1]["value"]) for containers in found] == [
        ("ray-head", "head"),
        ("ray-worker", "worker"),
    ]


def test_a_groups_template_cannot_speak_of_the_head() -> None:
    """It would be dropped, and nobody would know."""
    pod = template("containers: [{name: ray-head, env: [{name: A, value: b}]}]")
    with pytest.raises(DesiredError, match=r"containers\[0\]\.name: ray-head is in no pod"):
        cluster_of(with_group(podTemplate=pod))


@pytest.mark.parametrize("name", ["ray", "ray-head", "ray-worker"])
def test_rays_container_is_guarded_under_each_of_its_names(name: str) -> None:
    pod = template(f"containers: [{{name: {name}, command: [bash]}}]")
    (said,) = problems_with(podTemplate=pod)
    assert said.startswith("spec.cluster.podTemplate.spec.containers[0].command: ")


def test_a_template_adds_tolerations_and_takes_none_away() -> None:
    worker = pods_of(spec_of(TEMPLATES))[1]
    assert [item["key"] for item in worker["spec"]["tolerations"]] == ["nvme", "dedicated"]


def test_a_container_that_a_template_adds_is_restricted_too() -> None:
    side = pods_of(spec_of(TEMPLATES))[0]["spec"]["containers"][1]
    assert side["name"] == "ship-logs"
    assert side["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_user_and_group_may_be_others() -> None:
    pod = template("securityContext: {runAsUser: 2000, fsGroup: 3000}")
    for made in pods_of(with_cluster(podTemplate=pod)):
        context = made["spec"]["securityContext"]
        assert (context["runAsUser"], context["fsGroup"]) == (2000, 3000)
        assert context["runAsNonRoot"] is True


def test_a_volume_is_replaced_not_mixed() -> None:
    pod = template("volumes: [{name: ray-logs, persistentVolumeClaim: {claimName: logs}}]")
    volumes = pods_of(with_cluster(podTemplate=pod))[1]["spec"]["volumes"]
    assert volumes[1] == {"name": "ray-logs", "persistentVolumeClaim": {"claimName": "logs"}}


def test_labels_may_be_called_like_fields() -> None:
    given = {"metadata": {"labels": {"env": "prod", "ports": "none"}}}
    labels = pods_of(with_cluster(podTemplate=given))[0]["metadata"]["labels"]
    assert (labels["env"], labels["ports"]) == ("prod", "none")


def test_merging_changes_neither_side() -> None:
    base = {"a": {"b": 1}, "containers": [{"name": "x", "env": [{"name": "A", "value": "1"}]}]}
    over = {"a": {"c": 2}, "containers": [{"name": "x", "env": [{"name": "B", "value": "2"}]}]}
    before = (yaml.safe_dump(base), yaml.safe_dump(over))
    assert merge_template(base, over) == {
        "a": {"b": 1, "c": 2},
        "containers": [
            {"name": "x", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
        ],
    }
    assert (yaml.safe_dump(base), yaml.safe_dump(over)) == before
