"""Each constraint of the schema, kept and broken, judged by the API server and by the models.

The examples are made from the committed schema, so that a new field is tried without anybody
thinking of it; resources that hold every field are all that is written here.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from curator_api import parse_resource
from curator_api.errors import ManifestError
from curator_api.generate import DEFAULT_FILE
from curator_api.v1alpha1 import PipelineStatus
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd_examples import Change, changed, changes, held, paths
from tests.cluster.curator_resources import CuratorResources, as_sent
from tests.unit.curator_api.manifests import spec

SCHEMA = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))["spec"]["versions"][0]["schema"][
    "openAPIV3Schema"
]

OPTIONS = """\
    resources: {cpus: 1, gpus: 0.5, memory: 4Gi}
    workerGroups: [gpu]
    batchSize: 32
    workers: {min: 1, max: 16}
    retries: 2
    timeoutSeconds: 600
    runtimeEnv: {env_vars: {A: b}}
"""
STAGES = f"""\
image: curator/executor:0.1.0
runtimeEnv: {{pip: [ftfy]}}
stages:
  - name: read
    class: my_team.stages.Read
    args: {{paths: [a]}}
{OPTIONS}    parts:
      files:
{OPTIONS.replace("    ", "        ")}
execution: {{mode: streaming, ignoreFailures: false, maxWorkersPerStage: 64,
  cpuAllocationPercent: 95, autoscaleIntervalSeconds: 180, loggingIntervalSeconds: 60,
  maxFailures: 100, drainSeconds: 60, fusion: true}}
cluster:
  rayVersion: "2.60.0"
  head: {{resources: {{cpus: 1, memory: 2Gi}}}}
  workerGroups:
    - name: gpu
      minReplicas: 1
      maxReplicas: 8
      resources: {{cpus: 8, memory: 32Gi}}
      accelerator: {{resourceName: nvidia.com/gpu, count: 1, type: H100, memory: 80Gi}}
      nodeSelector: {{a: b}}
      tolerations:
        - {{key: a, operator: Exists, value: b, effect: NoExecute, tolerationSeconds: 5}}
      podTemplate: {{spec: {{}}}}
  env: [{{name: A, value: b, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}]
  envFrom: [{{secretRef: {{name: s}}}}]
  volumes: [{{name: data, VOLUMES}}]
  volumeMounts: [{{name: data, mountPath: /data, subPath: a, readOnly: false}}]
  imagePullSecrets: [{{name: pull}}]
  serviceAccountName: curator
  podTemplate: {{spec: {{}}}}
  keepAfterFinish: false
checkpoint: {{uri: "s3://bucket/a"}}
deadLetters: {{uri: "s3://bucket/b"}}
artifacts: {{uri: "s3://bucket/c"}}
suspend: false
backoffLimit: 2
retryOn: [StageFailed]
activeDeadlineSeconds: 86400
ttlSecondsAfterFinished: 3600
"""
VOLUME = SCHEMA["properties"]["spec"]["properties"]["cluster"]["properties"]["volumes"]["items"]
KINDS = ", ".join(f"{kind}: {{a: b}}" for kind in VOLUME["properties"] if kind != "name")
FULL = [
    as_sent(spec(STAGES.replace("VOLUMES", KINDS))),
    as_sent(
        spec(
            "builder: {callable: my_team.build, args: {a: 1}}\ncluster: {existing: {name: shared, "
        )
        .rstrip()
        .__add__("authSecretRef: {name: token}}}\n")
    ),
    as_sent(
        spec(
            "stages:\n"
            "  - {name: a, class: m.A, resources: {gpuMemory: 8Gi}, workers: {count: 3}, parts: "
            "{p: {resources: {gpuMemory: 8Gi}, workers: {count: 3}}}}"
        )
    ),
]
STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "message": "12 of 20",
    "heldUpBy": "embed",
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Valid",
            "message": "right",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    ],
    "attempt": 1,
    "retriesUsed": 0,
    "submissionId": "4f1c9a20-1",
    "rayCluster": "clean-web-4f1c9-1",
    "headContainerId": "containerd://1",
    "driverAddress": "10.0.0.1:8090",
    "specHash": "abc",
    "progress": {
        "inputsDone": 12,
        "inputsTotal": 20,
        "percent": 60,
        "inputsPerSecond": "3",
        "estimatedCompletionTime": "2026-01-01T00:00:00Z",
        "remaining": "3s",
        "bottleneck": {"stage": "read", "reason": "busy"},
        "summary": "12/20 (60%)",
    },
    "stages": [
        {
            "name": "read",
            "workers": {"ready": 1, "starting": 0, "wanted": 1},
            "queued": 1,
            "running": 1,
            "done": 1,
            "failed": 0,
            "dropped": 0,
            "itemsPerSecond": "3",
            "secondsPerTask": "0.3",
            "busyPercent": 98,
            "gpus": "1",
        }
    ],
    "failures": [
        {
            "stage": "read",
            "task": "0_a",
            "error": "ValueError",
            "message": "no",
            "count": 1,
            "lastSeen": "2026-01-01T00:00:00Z",
        }
    ],
    "startTime": "2026-01-01T00:00:00Z",
    "completionTime": "2026-01-01T00:00:00Z",
    "lastProgressTime": "2026-01-01T00:00:00Z",
    "activeSince": "2026-01-01T00:00:00Z",
    "activeSeconds": 5,
}
WRITTEN = {**SCHEMA, "properties": {**SCHEMA["properties"]}}
del WRITTEN["properties"]["status"]
SPEC_CHANGES = {
    f"{number}. {change}": (resource, change)
    for number, resource in enumerate(FULL)
    for change in changes(WRITTEN, resource)
    if change.place[0] == "spec" or change.place == ("metadata", "name")
}
# The models compute the summary, whatever is written there.
STATUS_CHANGES = {
    str(change): change
    for change in changes(SCHEMA["properties"]["status"], STATUS)
    if change.place != ("progress", "summary")
}


@pytest.fixture(scope="module")
def resources(control_plane: ControlPlane, curator_crd: None) -> CuratorResources:
    return CuratorResources(control_plane)


def taken_by_models(resource: dict[str, Any]) -> bool:
    try:
        parse_resource(resource)
    except ManifestError:
        return False
    return True


def is_a_status(value: Any) -> bool:
    try:
        PipelineStatus.model_validate(value, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


def test_the_resources_here_hold_every_field() -> None:
    spec_schema = SCHEMA["properties"]["spec"]
    filled = {path for one in FULL for path in held(spec_schema, one["spec"])}

    assert set(paths(spec_schema)) - filled == set()
    assert set(paths(SCHEMA["properties"]["status"])) == set(
        held(SCHEMA["properties"]["status"], STATUS)
    )


@pytest.mark.parametrize("number", range(len(FULL)))
def test_the_resources_here_are_right(number: int, resources: CuratorResources) -> None:
    assert resources.refusal(FULL[number]) == ""


def test_there_are_many_constraints() -> None:
    assert len(SPEC_CHANGES) >= 300
    assert len(STATUS_CHANGES) >= 80


@pytest.mark.parametrize("name", SPEC_CHANGES)
def test_constraint_on_the_spec_is_judged_alike(name: str, resources: CuratorResources) -> None:
    resource, change = SPEC_CHANGES[name]

    taken = []
    for value in change.good:
        one = changed(resource, change.place, value)
        said = resources.refusal(one)
        taken.append(taken_by_models(one))
        assert taken[-1] == (said == ""), f"{value!r}: {said}"

    assert any(taken)
    for value in change.bad:
        one = changed(resource, change.place, value)
        assert not taken_by_models(one), f"{value!r}"
        assert resources.refusal(one) != "", f"{value!r}"


@pytest.fixture(scope="module")
def stored(control_plane: ControlPlane, curator_crd: None) -> tuple[CuratorResources, Any]:
    pipelines = CuratorResources(control_plane)
    sent = as_sent(spec("stages: [{name: a, class: m.A}]"))
    sent["metadata"]["name"] = "status-constraints"
    return pipelines, pipelines.create(sent)


@pytest.mark.parametrize("name", STATUS_CHANGES)
def test_constraint_on_the_status_is_judged_alike(
    name: str, stored: tuple[CuratorResources, Any]
) -> None:
    """What the operator writes is refused there and here, or nowhere."""
    pipelines, resource = stored
    change: Change = STATUS_CHANGES[name]

    for value in (*change.good, *change.bad):
        status = changed(STATUS, change.place, value)
        said = pipelines.status_refusal({**resource, "status": status})
        assert (said == "") == is_a_status(status), f"{value!r}: {said}"
    assert is_a_status(changed(STATUS, change.place, change.good[0]))


def test_a_whole_status_is_stored_as_it_was_written(
    stored: tuple[CuratorResources, Any],
) -> None:
    """No field is pruned, and no default comes in that the operator did not write."""
    pipelines, resource = stored

    made = pipelines.replace_status({**resource, "status": STATUS}, dry_run="All")

    assert made["status"] == STATUS
    assert PipelineStatus.model_validate(STATUS).model_dump(by_alias=True) == STATUS
