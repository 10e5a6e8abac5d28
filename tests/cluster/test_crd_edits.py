"""What may be edited when, asked of the API server in every phase."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, get_args

import pytest

from curator_api.v1alpha1.edits import EDITABLE_PHASES
from curator_api.v1alpha1.status import ENDED, Phase
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd_examples import large_pipeline
from tests.cluster.curator_resources import CuratorResources, as_sent
from tests.unit.curator_api.manifests import spec

Spec = dict[str, Any]
Edit = Callable[[Spec], object]

WORK = """\
image: curator/executor:1
runtimeEnv: {pip: [ftfy]}
stages:
  - {name: a, class: m.A, args: {minLen: 1, deep: {minLen: 1}}, runtimeEnv: {pip: [x]}}
  - {name: b, class: m.B}
execution: {maxFailures: 5}
backoffLimit: 2
cluster:
  rayVersion: "2.60.0"
  workerGroups:
    - {name: g, maxReplicas: 2, resources: {cpus: 1, memory: 1Gi}, podTemplate: {spec: {a: 1}}}
    - {name: h, maxReplicas: 2, resources: {cpus: 1, memory: 1Gi}}
  podTemplate: {spec: {a: 1}}
  env: [{name: A, valueFrom: {x: 1}}, {name: B, value: b}]
  envFrom: [{secretRef: {name: s}}]
  volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]
  volumeMounts: [{name: v, mountPath: /v}]
"""
BARE = "stages: [{name: a, class: m.A}]"
BUILDER = "builder: {callable: m.build, args: {minLen: 1}}"
EXISTING = f"{BARE}\ncluster: {{existing: {{name: shared}}}}"


def group(spec: Spec, number: int = 0) -> Spec:
    found: Spec = spec["cluster"]["workerGroups"][number]
    return found


# What changes the work; a key renamed in a free-form mapping is where `==` alone would see nothing.
WORK_EDITS: dict[str, Edit] = {
    "another value in args": lambda s: s["stages"][0].update(args={"minLen": 2}),
    "a key renamed in args": lambda s: s["stages"][0]["args"].update(
        {"maxLen": s["stages"][0]["args"].pop("minLen")}
    ),
    "a key renamed deep in args": lambda s: s["stages"][0]["args"].update(deep={"maxLen": 1}),
    "null for a value in args": lambda s: s["stages"][0]["args"].update(minLen=None),
    "args go": lambda s: s["stages"][0].pop("args"),
    "args appear": lambda s: s["stages"][1].update(args={"a": 1}),
    "a key renamed in a stage's runtimeEnv": lambda s: s["stages"][0].update(
        runtimeEnv={"conda": ["x"]}
    ),
    "stages in another order": lambda s: s["stages"].reverse(),
    "a stage more": lambda s: s["stages"].append({"name": "c", "class": "m.C"}),
    "a stage less": lambda s: s["stages"].pop(),
    "a stage's resources appear": lambda s: s["stages"][0].update(resources={"cpus": 1}),
    "a builder instead of stages": lambda s: s.update(stages=None, builder={"callable": "m.build"}),
    "another image": lambda s: s.update(image="curator/executor:2"),
    "the image goes": lambda s: s.pop("image"),
    "a key renamed in runtimeEnv": lambda s: s.update(runtimeEnv={"conda": ["ftfy"]}),
    "runtimeEnv goes": lambda s: s.pop("runtimeEnv"),
    "runtimeEnv empty": lambda s: s.update(runtimeEnv={}),
    "an option of the execution": lambda s: s["execution"].update(mode="batch"),
    "an option of the execution goes": lambda s: s["execution"].pop("maxFailures"),
    "a checkpoint appears": lambda s: s.update(checkpoint={"uri": "s3://bucket/a"}),
    "a cause to try again": lambda s: s.update(retryOn=["StageFailed"]),
    "the cluster goes": lambda s: s.pop("cluster"),
    "another Ray": lambda s: s["cluster"].update(rayVersion="2.61.0"),
    "an existing cluster instead": lambda s: s.update(cluster={"existing": {"name": "shared"}}),
    "a worker group more": lambda s: s["cluster"]["workerGroups"].append({**group(s), "name": "i"}),
    "a worker group less": lambda s: s["cluster"]["workerGroups"].pop(),
    "worker groups in another order": lambda s: s["cluster"]["workerGroups"].reverse(),
    "a worker group under another name": lambda s: group(s).update(name="k"),
    "resources of a worker group": lambda s: group(s)["resources"].update(cpus=2),
    "an accelerator appears": lambda s: group(s).update(accelerator={"count": 1}),
    "a key renamed in a group's podTemplate": lambda s: group(s).update(
        podTemplate={"spec": {"b": 1}}
    ),
    "a key renamed in podTemplate": lambda s: s["cluster"].update(
        podTemplate={"metadata": {"a": 1}}
    ),
    "podTemplate goes": lambda s: s["cluster"].pop("podTemplate"),
    "another kind of volume": lambda s: s["cluster"]["volumes"][0].update(
        {"hostPath": s["cluster"]["volumes"][0].pop("emptyDir")}
    ),
    "a volume less": lambda s: s["cluster"]["volumes"].pop(),
    "a mount elsewhere": lambda s: s["cluster"]["volumeMounts"][0].update(mountPath="/w"),
    "a key renamed in valueFrom": lambda s: s["cluster"]["env"][0].update(valueFrom={"y": 1}),
    "variables in another order": lambda s: s["cluster"]["env"].reverse(),
    "another kind of envFrom": lambda s: s["cluster"].update(
        envFrom=[{"configMapRef": {"name": "s"}}]
    ),
    "keepAfterFinish": lambda s: s["cluster"].update(keepAfterFinish=True),
}
LIVE_EDITS: dict[str, Edit] = {
    "suspend": lambda s: s.update(suspend=True),
    "backoffLimit": lambda s: s.update(backoffLimit=5),
    "a deadline appears": lambda s: s.update(activeDeadlineSeconds=5),
    "replicas of a group": lambda s: group(s, 1).update(minReplicas=1, maxReplicas=9),
    "replicas of both groups and suspend": lambda s: (
        group(s).update(maxReplicas=9),
        group(s, 1).update(maxReplicas=8),
        s.update(suspend=True),
    ),
}
FINISHED_EDITS: dict[str, Edit] = {
    "nothing": lambda _: None,
    "ttlSecondsAfterFinished appears": lambda s: s.update(ttlSecondsAfterFinished=5),
}
EDITS = {**WORK_EDITS, **LIVE_EDITS, **FINISHED_EDITS}
UNDER_WAY = "the work cannot be edited while the pipeline is under way"
ENDED_SAYS = "the pipeline has ended"


def wanted(phase: Phase | None, edit: str) -> str:
    """How the API server's refusal goes; "" where it is to take the edit."""
    if phase in ENDED:
        return "" if edit in FINISHED_EDITS else ENDED_SAYS
    if phase is None or phase in EDITABLE_PHASES:
        return ""
    return UNDER_WAY if edit in WORK_EDITS else ""


Made = Callable[[str, Phase | None], dict[str, Any]]


@pytest.fixture(scope="module")
def pipelines(control_plane: ControlPlane, curator_crd: None) -> CuratorResources:
    return CuratorResources(control_plane)


@pytest.fixture(scope="module")
def made(pipelines: CuratorResources) -> Made:
    """A resource in a phase, made once for each text and phase."""
    known: dict[tuple[str, Phase | None], dict[str, Any]] = {}

    def make(text: str, phase: Phase | None) -> dict[str, Any]:
        if (text, phase) not in known:
            sent = as_sent(spec(text.rstrip()))
            sent["metadata"]["name"] = f"edited-{len(known)}"
            seen = pipelines.create(sent)
            if phase is not None:
                seen = pipelines.replace_status({**seen, "status": {"phase": phase}})
            known[text, phase] = seen
        return copy.deepcopy(known[text, phase])

    return make


PHASES: tuple[Phase | None, ...] = (None, *get_args(Phase))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("edit", EDITS)
def test_edit_is_taken_or_refused_by_the_phase(
    edit: str, phase: Phase | None, pipelines: CuratorResources, made: Made
) -> None:
    seen = made(WORK, phase)
    EDITS[edit](seen["spec"])

    said = pipelines.edit_refusal(seen)

    assert (said == "") == (wanted(phase, edit) == ""), said
    assert wanted(phase, edit) in said


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        (BARE, lambda s: s.update(cluster={"existing": {"name": "shared"}})),
        (BARE, lambda s: s.update(runtimeEnv={"pip": ["a"]})),
        (BARE, lambda s: s.update(image="a")),
        (BUILDER, lambda s: s["builder"].update(args={"maxLen": 1})),
        (BUILDER, lambda s: s.update(builder=None, stages=[{"name": "a", "class": "m.A"}])),
        (EXISTING, lambda s: s["cluster"]["existing"].update(name="other")),
        (EXISTING, lambda s: s["cluster"]["existing"].update(authSecretRef={"name": "a"})),
        (EXISTING, lambda s: s.pop("cluster")),
    ],
)
def test_optional_parts_cannot_appear_change_or_go_under_way(
    text: str, edit: Edit, pipelines: CuratorResources, made: Made
) -> None:
    seen = made(text, "Running")
    edit(seen["spec"])

    assert UNDER_WAY in pipelines.edit_refusal(seen)


@pytest.mark.parametrize("text", [BARE, BUILDER, EXISTING, WORK])
@pytest.mark.parametrize("phase", PHASES)
def test_labels_and_finalizers_can_be_edited_at_any_time(
    text: str, phase: Phase | None, pipelines: CuratorResources, made: Made
) -> None:
    seen = made(text, phase)
    seen["metadata"]["labels"] = {"team": "b"}
    seen["metadata"]["finalizers"] = ["curator.dev/cleanup"]

    assert pipelines.edit_refusal(seen) == ""


@pytest.mark.parametrize("phase", PHASES)
def test_the_status_can_be_written_in_any_phase(
    phase: Phase | None, pipelines: CuratorResources, made: Made
) -> None:
    seen = made(WORK, phase)
    for later in get_args(Phase):
        seen["status"] = {"phase": later, "attempt": 2}
        assert pipelines.status_refusal(seen) == ""


def test_a_large_pipeline_can_be_edited_under_way(pipelines: CuratorResources) -> None:
    """The comparison, too, stays within what the API server lets a rule cost."""
    seen = pipelines.create(large_pipeline())
    seen = pipelines.replace_status({**seen, "status": {"phase": "Running"}})
    seen["spec"]["cluster"]["workerGroups"][-1]["maxReplicas"] = 9

    assert pipelines.edit_refusal(seen) == ""
    seen["spec"]["stages"][-1]["batchSize"] = 9
    assert UNDER_WAY in pipelines.edit_refusal(seen)


def test_a_refusal_names_the_spec_and_what_to_do(pipelines: CuratorResources, made: Made) -> None:
    seen = made(WORK, "Running")
    seen["spec"]["image"] = "other"

    said = pipelines.edit_refusal(seen)

    assert "spec: Invalid value" in said
    assert "set spec.suspend to true and wait for status.phase Suspended first" in said
