"""The simulated Ray head answers as a real one: each claim is tried on both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.asking import ask
from tests.cluster.processes import eventually
from tests.cluster.ray_head import RayHead
from tests.cluster.ray_heads import Container, RayHeads
from tests.cluster.ray_jobs import Script

TOKEN = "a token of the simulated head"
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


@dataclass
class Asked:
    """A head of either kind, and what its jobs' entrypoints are to be."""

    url: str
    token: str
    simulated: RayHeads | None = None

    def __call__(self, path: str, body: Any = None) -> tuple[int, str]:
        return ask(f"{self.url}{path}", self.token, body)

    def submit(self, name: str, exit_code: int | None = None) -> dict[str, Any]:
        """Submit a job that says `words` and ends with this exit code, or goes on.

        Returns:
            The request.
        """
        if self.simulated:
            ends = Script(0.0, 0.0, exit_code or 0, "words", linger_s=0.0, logs_end=False)
            self.simulated.head("ns", "one").script = Script() if exit_code is None else ends
        entrypoint = "sleep 600" if exit_code is None else f"echo words; exit {exit_code}"
        request = {"entrypoint": entrypoint, "submission_id": name, "metadata": {"a": "b"}}
        status, text = self("/api/jobs/", request)
        assert (status, json.loads(text)) == (200, {"job_id": name, "submission_id": name})
        return request

    def details(self, name: str) -> dict[str, Any]:
        status, text = self(f"/api/jobs/{name}")
        assert status == 200
        found: dict[str, Any] = json.loads(text)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.details(name)
            return found if found["status"] in ENDED else None

        return eventually(look, f"{name} ends", within_s=60)

    def running(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.details(name)
            return found if found["status"] == "RUNNING" else None

        return eventually(look, f"{name} runs", within_s=60)


@pytest.fixture(params=["real", "simulated"])
def head(request: pytest.FixtureRequest) -> Iterator[Asked]:
    if request.param == "real":
        real: RayHead = request.getfixturevalue("real_ray_head")
        yield Asked(real.url, real.token)
    else:
        with RayHeads(lambda _namespace, _cluster: Container("c1", TOKEN)) as simulated:
            yield Asked(f"{simulated.url}/ns/one", TOKEN, simulated)


def test_version_is_told(head: Asked) -> None:
    status, text = head("/api/version")
    assert status == 200
    assert json.loads(text)["version"] == "4"
    assert json.loads(text)["ray_version"] == "2.60.0"


def test_request_without_a_token_is_refused(head: Asked) -> None:
    head.token = ""
    assert head("/api/jobs/one") == (401, "Unauthorized: Missing authentication token")


def test_request_with_a_wrong_token_is_refused(head: Asked) -> None:
    head.token = "wrong"
    assert head("/api/jobs/one") == (403, "Forbidden: Invalid authentication token")


def test_unknown_job_is_not_found(head: Asked) -> None:
    assert head("/api/jobs/nobody") == (404, "Job nobody does not exist")
    assert head("/api/jobs/nobody/stop", {}) == (404, "Job nobody does not exist")


def test_second_submission_of_an_id_is_refused(head: Asked) -> None:
    request = head.submit("twice")
    status, text = head("/api/jobs/", request)
    assert status == 500
    assert "Job with submission_id twice already exists" in text
    head("/api/jobs/twice/stop", {})


def test_submission_without_an_entrypoint_is_refused(head: Asked) -> None:
    status, text = head("/api/jobs/", {"submission_id": "nothing"})
    assert status == 400
    assert "entrypoint" in text


FIELDS = {
    "type",
    "job_id",
    "submission_id",
    "driver_info",
    "status",
    "entrypoint",
    "message",
    "error_type",
    "start_time",
    "end_time",
    "metadata",
    "runtime_env",
    "driver_agent_http_address",
    "driver_node_id",
    "driver_exit_code",
}


def test_running_job_has_rays_fields(head: Asked) -> None:
    head.submit("runs")
    found = head.running("runs")
    assert set(found) == FIELDS
    assert found["message"] == "Job is currently running."
    assert found["metadata"] == {"a": "b"}
    assert found["driver_agent_http_address"].startswith("http://")
    assert (found["end_time"], found["driver_exit_code"], found["error_type"]) == (None,) * 3
    head("/api/jobs/runs/stop", {})


def test_exit_code_of_a_failed_driver_is_told(head: Asked) -> None:
    head.submit("fails", exit_code=3)
    found = head.ended("fails")
    assert set(found) == FIELDS
    assert (found["status"], found["driver_exit_code"]) == ("FAILED", 3)
    assert found["error_type"] == "JOB_ENTRYPOINT_COMMAND_ERROR"
    assert found["message"].startswith("Job entrypoint command failed with exit code 3, last avail")
    assert "\nwords\n" in found["message"]
    assert found["end_time"] >= found["start_time"]


def test_driver_that_is_done_succeeds(head: Asked) -> None:
    head.submit("succeeds", exit_code=0)
    found = head.ended("succeeds")
    assert (found["status"], found["driver_exit_code"]) == ("SUCCEEDED", 0)
    assert found["message"] == "Job finished successfully."


def test_end_of_a_log_is_given_by_lines(head: Asked) -> None:
    head.submit("logs", exit_code=0)
    node = head.ended("logs")["driver_node_id"]
    status, text = head(f"/api/v0/logs/file?node_id={node}&filename=job-driver-logs.log&lines=20")
    assert status == 200
    assert "words\n" in text.splitlines(keepends=True)


def test_stopped_job_has_no_exit_code(head: Asked) -> None:
    head.submit("stops")
    head.running("stops")
    status, text = head("/api/jobs/stops/stop", {})
    assert (status, json.loads(text)) == (200, {"stopped": True})
    found = head.ended("stops")
    assert (found["status"], found["driver_exit_code"]) == ("STOPPED", None)
    assert found["message"] == "Job was intentionally stopped."


def test_stopping_a_job_that_has_ended_stops_nothing(head: Asked) -> None:
    head.submit("over", exit_code=0)
    head.ended("over")
    status, text = head("/api/jobs/over/stop", {})
    assert (status, json.loads(text)) == (200, {"stopped": False})
