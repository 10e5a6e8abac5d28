"""`curator logs`: whose log is read, and what is said where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.last_word import MARK
from curator_executor.cli.arguments import parser
from curator_executor.cli.kube import driver_log
from curator_executor.cli.kube.api import Object
from curator_executor.cli.kube.commands import run_cluster_command
from curator_executor.cli.kube.following import Gone, Seen
from curator_operator.desired import names
from tests.unit.cli.kube.resources import MadeUpApi, condition, ended, resource, running


def head(state: dict[str, Any] | None = None, container: str = "driver-log") -> Object:
    statuses = [{"name": container, "state": state}] if state is not None else []
    return {
        "metadata": {"name": "head-pod", "creationTimestamp": "2023-11-14T22:12:20Z"},
        "spec": {"containers": [{"name": "ray-head"}, {"name": container}]},
        "status": {"containerStatuses": statuses},
    }


RUNS: dict[str, Any] = {"running": {"startedAt": "2023-11-14T22:12:30Z"}}


def with_pod(status: Object, pod: Object | None) -> MadeUpApi:
    api = MadeUpApi(resource(status))
    if pod is not None:
        api.put("pods", pod)
    return api


def logs(api: MadeUpApi, *arguments: str) -> int:
    options = parser().parse_args(["logs", "clean-web", *arguments])
    return run_cluster_command(options, lambda *_: api)


def test_the_container_is_the_one_that_the_operator_makes() -> None:
    assert driver_log.CONTAINER == names.LOG_CONTAINER


def test_the_log_is_printed_as_it_is_but_for_the_word_to_the_operator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = with_pod(running(), head(RUNS))
    api.log = [b"one", b"\xff two", f"{MARK}{{}}".encode(), b"three"]
    assert logs(api) == 0
    assert capsys.readouterr().out == "one\n� two\nthree\n"
    assert api.streams == [
        ("/api/v1/namespaces/team-a/pods/head-pod/log", {"container": "driver-log"})
    ]


def test_options_are_those_of_the_pods_log() -> None:
    api = with_pod(running(), head(RUNS))
    assert logs(api, "-f", "--tail", "20") == 0
    assert api.streams[0][1] == {
        "container": "driver-log",
        "follow": "true",
        "tailLines": "20",
    }


def test_before_the_head_has_started_it_says_what_is_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waits = condition("ClusterReady", "False", "ImagePullFailed", "no such image")
    api = with_pod(running(phase="Starting", message=None, conditions=[waits]), head())
    assert logs(api) == 1
    said = capsys.readouterr().err
    assert "head pod head-pod has not started yet: waits: ImagePullFailed: no such image" in said
    assert "--follow waits for it" in said


def test_following_waits_for_the_head_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_log, "follow", lambda *_: iter([Seen(head()), Seen(head(RUNS))]))
    api = with_pod(running(phase="Starting"), head())
    assert logs(api, "-f") == 0
    assert len(api.streams) == 1


def test_a_head_that_goes_before_it_started_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver_log, "follow", lambda *_: iter([Seen(head()), Gone()]))
    assert logs(with_pod(running(phase="Starting"), head()), "-f") == 1
    assert "was deleted before it started" in capsys.readouterr().err


def test_when_the_cluster_is_gone_the_artifacts_have_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = with_pod(ended("Failed", "Failed", "StageFailed"), None)
    spec = api.objects["curatorpipelines", "clean-web"]["spec"]
    spec["artifacts"] = {"uri": "s3://bucket/runs/"}
    assert logs(api) == 1
    assert "but for s3://bucket/runs/4f1c9a20-1/driver.log" in capsys.readouterr().err


def test_without_artifacts_it_says_what_would_have_kept_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert logs(with_pod(ended("Failed", "Failed", "StageFailed"), None)) == 1
    said = capsys.readouterr().err
    assert "the cluster of attempt 1 of team-a/clean-web is gone, and its log with it" in said
    assert "spec.artifacts.uri keeps it the next time" in said


def test_an_earlier_attempts_cluster_is_gone_while_the_next_one_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert logs(with_pod(running(attempt=2), None), "--attempt", "1") == 1
    assert "the cluster of attempt 1 of team-a/clean-web is gone" in capsys.readouterr().err


def test_before_the_first_attempt_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(MadeUpApi(resource())) == 1
    assert "team-a/clean-web has not started: waits for the operator" in capsys.readouterr().err


def test_an_existing_cluster_has_the_log_in_its_head_pod(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = with_pod(running(rayCluster="shared"), head(RUNS))
    api.objects["curatorpipelines", "clean-web"]["spec"]["cluster"] = {
        "existing": {"name": "shared"}
    }
    assert logs(api) == 2
    assert (
        "kubectl exec -n team-a head-pod -- cat "
        "/tmp/ray/session_latest/logs/job-driver-4f1c9a20-1.log"
    ) in capsys.readouterr().err


def test_a_head_of_an_older_operator_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(with_pod(running(), head(RUNS, container="other"))) == 2
    assert "gives it no container driver-log" in capsys.readouterr().err


def test_a_name_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(MadeUpApi(resource(name="clean-wep"))) == 2
    assert "Did you mean clean-wep?" in capsys.readouterr().err
