"""The simulated heads: scripted lives, faults, counts; and whose pods make them listen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from curator_api.progress import ProgressSnapshot
from tests.cluster.asking import ask
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import Kubelet
from tests.cluster.kuberay import KubeRayOperator, ray_cluster
from tests.cluster.pod_status import restarted, running
from tests.cluster.processes import eventually
from tests.cluster.ray_heads import Asked, Container, Fault, RayHeads
from tests.cluster.ray_jobs import Script

NOBODY_LISTENS = r"Remote end closed|reset"
REQUEST = {"entrypoint": "python -m curator_executor run", "submission_id": "ab12-1"}


@pytest.fixture
def heads() -> Iterator[RayHeads]:
    with RayHeads(
        lambda _namespace, cluster: Container("c1", "") if cluster == "one" else None
    ) as h:
        yield h


def job(heads: RayHeads, script: Script) -> str:
    """Submit the job to `ns/one`; the head's address."""
    heads.head("ns", "one").script = script
    url = f"{heads.url}/ns/one"
    assert ask(f"{url}/api/jobs/", body=REQUEST)[0] == 200
    return url


def status(url: str) -> tuple[str, int | None]:
    details = json.loads(ask(f"{url}/api/jobs/ab12-1")[1])
    return details["status"], details["driver_exit_code"]


def progress(url: str) -> ProgressSnapshot:
    return ProgressSnapshot.model_validate_json(ask(f"{url}/progress")[1])


def test_job_goes_as_its_script_says(heads: RayHeads) -> None:
    url = job(heads, Script(pending_s=60, running_s=100, exit_code=1, message="stage embed failed"))
    assert status(url) == ("PENDING", None)
    with pytest.raises(OSError, match=NOBODY_LISTENS):
        progress(url)
    heads.advance(110)
    assert status(url) == ("RUNNING", None)
    halfway = progress(url)
    assert (halfway.state, halfway.inputs_total) == ("Running", 1000)
    assert 500 <= halfway.inputs_done < 1000
    assert [stage.name for stage in halfway.stages] == ["read", "embed", "write"]
    heads.advance(60)
    assert status(url) == ("RUNNING", None)
    last = progress(url)
    assert (last.state, last.message) == ("Failed", "stage embed failed")
    assert status(url) == ("FAILED", 1)


def test_driver_exits_when_nobody_fetches_its_last_snapshot(heads: RayHeads) -> None:
    url = job(heads, Script(running_s=100, linger_s=20))
    heads.advance(110)
    assert status(url) == ("RUNNING", None)
    heads.advance(20)
    assert status(url) == ("SUCCEEDED", 0)


def test_drained_run_ends_as_cancelled(heads: RayHeads) -> None:
    url = job(heads, Script(drain_s=50))
    assert ask(f"{url}/drain", body={})[0] == 202
    assert ask(f"{url}/drain", body={})[0] == 202
    assert progress(url).state == "Draining"
    heads.advance(51)
    assert progress(url).state == "Cancelled"
    assert status(url) == ("FAILED", 130)


def test_killed_driver_says_nothing_more(heads: RayHeads) -> None:
    url = job(heads, Script())
    heads.head("ns", "one").jobs["ab12-1"].kill(heads.now())
    assert status(url) == ("FAILED", 137)
    with pytest.raises(OSError, match=NOBODY_LISTENS):
        progress(url)


def test_cluster_that_is_not_there_does_not_answer(heads: RayHeads) -> None:
    with pytest.raises(OSError, match=NOBODY_LISTENS):
        ask(f"{heads.url}/ns/two/api/version")


def test_reply_may_be_lost_after_the_effect(heads: RayHeads) -> None:
    head = heads.head("ns", "one")
    head.fail_next(Fault.REPLY_LOST, Asked.SUBMIT)
    with pytest.raises(OSError, match=NOBODY_LISTENS):
        ask(f"{heads.url}/ns/one/api/jobs/", body=REQUEST)
    assert ask(f"{heads.url}/ns/one/api/jobs/", body=REQUEST)[0] == 500
    assert heads.submissions("ab12-1") == 1
    assert head.refused["ab12-1"] == 1
    assert head.asked[Asked.SUBMIT] == 2


def test_error_has_no_effect_and_is_used_up(heads: RayHeads) -> None:
    heads.head("ns", "one").fail_next(Fault.ERROR, Asked.SUBMIT)
    assert ask(f"{heads.url}/ns/one/api/jobs/", body=REQUEST)[0] == 500
    assert heads.submissions("ab12-1") == 0
    assert ask(f"{heads.url}/ns/one/api/jobs/", body=REQUEST)[0] == 200


def test_head_listens_while_its_pod_runs_and_forgets_its_jobs_with_its_container(
    control_plane: ControlPlane,
    kuberay_operator: KubeRayOperator,
    kubelet: Kubelet,
    namespace: str,
    ray_heads: RayHeads,
) -> None:
    core: Any = client.CoreV1Api(control_plane.api)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}
    secret["stringData"] = {"auth_token": "from a secret"}
    cluster = ray_cluster("one", authOptions={"mode": "token", "secretName": "key"})
    for each in (secret, cluster):
        control_plane.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(each))
    url = f"{ray_heads.url}/{namespace}/one"

    def answers() -> bool:
        try:
            return ask(f"{url}/api/version", "from a secret")[0] == 200
        except OSError:
            return False

    def jobs() -> int:
        return ask(f"{url}/api/jobs/ab12-1", "from a secret")[0]

    assert not answers()
    kubelet.let(running, namespace)
    eventually(answers, "the head listens")
    assert ask(f"{url}/api/version", "another")[0] == 403
    ask(f"{url}/api/jobs/", "from a secret", REQUEST)
    assert jobs() == 200
    pods = core.list_namespaced_pod(namespace, label_selector="ray.io/node-type=head").items
    kubelet.happen(restarted, namespace, pods[0].metadata.name)
    eventually(lambda: jobs() == 404, "the job is forgotten")
