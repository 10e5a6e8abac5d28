"""Nothing simulated but the pods: the operator, the API server, a Ray head, and the executor on it.

The pipeline runs on an existing RayCluster, whose head is a real one on the loopback: its manifest
travels as a Ray package, and its driver is found by the job's record.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from curator_operator.desired.job import driver_port
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kuberay import ray_cluster
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.processes import eventually
from tests.cluster.ray_head import RayHead

FILES, DOCUMENTS = 4, 50
PATIENT = {
    "CURATOR_POLL_INTERVAL_S": "1",
    "CURATOR_POLL_JITTER_S": "0.1",
    # Ray takes its time where other work is under way.
    "CURATOR_REQUEST_TIMEOUT_S": "30",
}
ENDS_WITHIN_S = 240.0


def written(folder: Path) -> list[str]:
    """Identifiers of the documents that the pipeline wrote."""
    lines = [line for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return sorted(str(json.loads(line)["id"]) for line in lines)


def manifest(work: Path, **spec: Any) -> dict[str, Any]:
    """A pipeline that copies documents from `work/in` to `work/out`."""
    stages = [
        {
            "name": "read",
            "class": "curator_executor.stages.JsonlReader",
            "args": {"paths": f"{work}/in/*.jsonl.gz", "id_field": "id", "documents_per_batch": 10},
        },
        {
            "name": "write",
            "class": "curator_executor.stages.JsonlWriter",
            "args": {"path": f"{work}/out"},
        },
    ]
    existing = {"name": "shared", "authSecretRef": {"name": "shared-token"}}
    return {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {"name": "copy"},
        "spec": {
            "stages": stages,
            "cluster": {"existing": existing},
            **spec,
        },
    }


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with documents in `in`."""
    folder = tmp_path / "work"
    (folder / "in").mkdir(parents=True)
    for file in range(FILES):
        with gzip.open(folder / "in" / f"{file}.jsonl.gz", "wt") as out:
            for number in range(DOCUMENTS):
                out.write(json.dumps({"id": f"{file}-{number}", "text": "some words"}) + "\n")
    return folder


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayHead]:
    """A real Ray head whose jobs' `python` is this one, in whose environment the executor is."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "head"
    folder.mkdir()
    with RayHead(folder) as running:
        yield running


@pytest.fixture
def shared_cluster(
    control_plane: ControlPlane, kuberay_crds: None, namespace: str, head: RayHead
) -> dict[str, Any]:
    """RayCluster `shared`, as KubeRay describes one that is ready, and the Secret that opens it."""
    custom = client.CustomObjectsApi(control_plane.api)
    where = ("ray.io", "v1", namespace, "rayclusters")
    # Its head is no pod: KubeRay's operator, where it runs, must not look for one.
    unmanaged = ray_cluster("shared", managedBy="kueue.x-k8s.io/multikueue")
    custom.create_namespaced_custom_object(*where, unmanaged)
    ready = {"status": {"state": "ready"}}
    made: Any = custom.patch_namespaced_custom_object_status(*where, "shared", ready)
    token = base64.b64encode(head.token.encode()).decode()
    secret: Any = {"metadata": {"name": "shared-token"}, "data": {"auth_token": token}}
    client.CoreV1Api(control_plane.api).create_namespaced_secret(namespace, secret)
    return dict(made)


@pytest.mark.timeout(400)
def test_a_pipeline_runs_on_a_real_head_and_its_status_tells_how_it_went(
    control_plane: ControlPlane,
    shared_cluster: dict[str, Any],
    head: RayHead,
    namespace: str,
    work: Path,
    operator_process: Callable[..., OperatorProcess],
) -> None:
    operator = operator_process(CURATOR_DASHBOARD_URL=head.url, **PATIENT)
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(manifest(work)))

    def status() -> dict[str, Any]:
        text = control_plane.kubectl("get", "cpl", "copy", "-n", namespace, "-o", "json")
        return dict(json.loads(text).get("status", {}))

    def ended() -> bool:
        now = status()
        assert now.get("phase") in {"Succeeded", "Failed"}, (
            f"{now.get('phase')}: {now.get('message')}"
        )
        return True

    eventually(ended, "the pipeline ends", ENDS_WITHIN_S)
    last = status()
    assert last["phase"] == "Succeeded", last["message"]
    uid = json.loads(control_plane.kubectl("get", "cpl", "copy", "-n", namespace, "-o", "json"))[
        "metadata"
    ]["uid"]
    assert last["driverAddress"].endswith(f":{driver_port(uid, 1)}")
    failed = {stage["name"]: stage["failed"] for stage in last["stages"]}
    assert failed == {"read.list_files": 0, "read.read_jsonl": 0, "write": 0}
    assert last["progress"]["inputsDone"] == last["progress"]["inputsTotal"]
    assert last["progress"]["inputsDone"] > 0
    documents = sorted(f"{file}-{n}" for file in range(FILES) for n in range(DOCUMENTS))
    assert written(work / "out") == documents
    # The cluster is used, and left as it was.
    custom = client.CustomObjectsApi(control_plane.api)
    left: Any = custom.get_namespaced_custom_object(
        "ray.io", "v1", namespace, "rayclusters", "shared"
    )
    assert left["metadata"]["resourceVersion"] == shared_cluster["metadata"]["resourceVersion"]
    assert "no answer" not in operator.log_text()


@pytest.mark.timeout(400)
def test_a_real_ray_keeps_the_last_word_of_a_run_that_failed_while_no_operator_ran(
    control_plane: ControlPlane,
    shared_cluster: dict[str, Any],
    head: RayHead,
    namespace: str,
    work: Path,
    operator_process: Callable[..., OperatorProcess],
) -> None:
    """Its first file is no gzip file, and the operator is killed as soon as the job is Ray's."""
    (work / "in" / "0.jsonl.gz").write_text("no gzip file\n")
    operator = operator_process(CURATOR_DASHBOARD_URL=head.url, **PATIENT)
    control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(manifest(work)))

    def status() -> dict[str, Any]:
        text = control_plane.kubectl("get", "cpl", "copy", "-n", namespace, "-o", "json")
        return dict(json.loads(text).get("status", {}))

    def job() -> dict[str, Any]:
        code, text = head.ask(f"/api/jobs/{status().get('submissionId')}")
        return dict(json.loads(text)) if code == 200 else {}

    eventually(job, "Ray has the job", ENDS_WITHIN_S)
    operator.kill()
    eventually(lambda: job()["status"] == "FAILED", "the job fails", ENDS_WITHIN_S)
    assert job()["driver_exit_code"] == 1
    assert status().get("phase") in {"Starting", "Running"}
    operator.start()
    eventually(lambda: "completionTime" in status(), "the pipeline ends", ENDS_WITHIN_S)
    last = status()
    assert {one["type"]: one["reason"] for one in last["conditions"]}["Failed"] == "StageFailed"
    assert "read.read_jsonl" in last["message"]
    assert {stage["name"] for stage in last["stages"]} == {
        "read.list_files",
        "read.read_jsonl",
        "write",
    }
