"""Performers of the actions on Ray jobs: submitted once, drained, stopped."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from curator_operator.cluster.apply import ActionRefused
from curator_operator.cluster.http import NotFound, Refused, Unauthorized, Unreachable
from curator_operator.desired.children import token
from curator_operator.reconcile.actions import (
    DrainDriver,
    StopJob,
    SubmitJob,
)
from curator_operator.reconcile.observed import JobSeen
from tests.unit.operator.cluster.applying import World
from tests.unit.operator.cluster.fakes import (
    CLUSTER,
    EXISTING,
    KEY,
    RUNNING,
    SETTINGS,
    SUBMISSION,
    UID,
    cache_with,
    refused,
)

NAMESPACE = "/api/v1/namespaces/team-a"
DASHBOARD = f"http://{CLUSTER}-head-svc.team-a.svc:8265"
DRIVER = f"http://{CLUSTER}-head-svc.team-a.svc:8090"
JOB = f"/api/jobs/{SUBMISSION}"


def submit() -> SubmitJob:
    return SubmitJob(CLUSTER, SUBMISSION, {"submission_id": SUBMISSION, "entrypoint": "x"}, "r")


def test_a_job_is_submitted_with_the_attempts_token() -> None:
    world = World(heads={("POST", "/api/jobs/"): b"{}"}).do(submit())
    assert world.heads.asked == [("POST", f"{DASHBOARD}/api/jobs/")]
    assert world.heads.tokens == [token(SETTINGS.token_key, UID, 1)]


def test_a_job_that_the_head_has_already_is_submitted() -> None:
    """1. It is submitted. 2. The answer is lost. 3. It is submitted again."""
    heads = {
        ("POST", "/api/jobs/"): Refused("500 already exists", 500),
        ("GET", JOB): b'{"status": "RUNNING"}',
    }
    assert World(heads=heads).do(submit()).place.entry.refusals == {}


def test_a_refusal_is_not_taken_for_a_job_that_exists() -> None:
    """Whatever the words are: the head is asked whether it has the job."""
    heads = {
        ("POST", "/api/jobs/"): Refused("500 file already exists", 500),
        ("GET", JOB): NotFound(f"Job {SUBMISSION} does not exist", 404),
    }
    world = World(heads=heads)
    with pytest.raises(ActionRefused, match="file already exists"):
        world.do(submit())
    assert world.place.entry.refusals["SubmitJob"].code == 500


def test_a_head_that_does_not_answer_is_a_refusal_without_a_code() -> None:
    world = World(heads={("POST", "/api/jobs/"): Unreachable("no route")})
    with pytest.raises(ActionRefused):
        world.do(submit())
    refusal = world.place.entry.refusals["SubmitJob"]
    assert (refusal.code, refusal.reason, refusal.message) == (0, "Unreachable", "no route")


def existing() -> dict[str, Any]:
    stage = {"name": "read", "class": "curator_executor.stages.JsonlReader"}
    return {**EXISTING, "stages": [stage]}


SECRET = {"data": {"auth_token": base64.b64encode(b"theirs\n").decode()}}


def test_on_an_existing_cluster_the_manifest_travels_first() -> None:
    world = World(
        {("GET", f"{NAMESPACE}/secrets/shared-token"): SECRET},
        Anything(),
        cache=cache_with(status=RUNNING, spec=existing()),
    ).do(SubmitJob("shared", SUBMISSION, {"submission_id": SUBMISSION}, "r"))
    assert [method for method, _ in world.heads.asked] == ["GET", "PUT", "POST"]
    assert all(url.startswith("http://shared-head-svc") for _, url in world.heads.asked)
    assert "/api/packages/gcs/_ray_pkg_" in world.heads.asked[1][1]
    assert world.heads.sent[1].startswith(b"PK")
    assert set(world.heads.tokens) == {"theirs"}


class Anything(dict[tuple[str, str], Any]):
    """No package is there; everything else is well."""

    def __missing__(self, key: tuple[str, str]) -> Any:
        if key[0] == "GET":
            return NotFound("Package does not exist", 404)
        return b"{}"


def test_a_token_that_is_not_taken_is_read_anew() -> None:
    world = World(
        {("GET", f"{NAMESPACE}/secrets/shared-token"): SECRET},
        {("POST", f"{JOB}/stop"): Unauthorized("401", 401)},
        cache=cache_with(status=RUNNING, spec=EXISTING),
    )
    for _ in range(2):
        with pytest.raises(ActionRefused):
            world.do(StopJob("shared", SUBMISSION, "r"))
    assert len(world.api.asked) == 2


def test_a_secret_that_may_not_be_read_is_named() -> None:
    world = World(
        {("GET", f"{NAMESPACE}/secrets/shared-token"): refused(403, "Forbidden")},
        cache=cache_with(status=RUNNING, spec=EXISTING),
    )
    with pytest.raises(ActionRefused, match=r"Secret team-a/shared-token: cannot be read.*Role"):
        world.do(StopJob("shared", SUBMISSION, "r"))


def test_stopping_a_job_that_the_head_does_not_know_is_done() -> None:
    gone = NotFound(f"Job {SUBMISSION} does not exist", 404)
    World(heads={("POST", f"{JOB}/stop"): gone}).do(StopJob(CLUSTER, SUBMISSION, "r"))


def test_a_404_of_somebody_in_between_stops_no_job() -> None:
    heads = {("POST", f"{JOB}/stop"): NotFound("404 page not found", 404)}
    with pytest.raises(ActionRefused, match="page not found"):
        World(heads=heads).do(StopJob(CLUSTER, SUBMISSION, "r"))


def test_the_driver_is_asked_to_drain() -> None:
    world = World(heads={("POST", "/drain"): b""}).do(DrainDriver(CLUSTER, SUBMISSION, "r"))
    assert world.heads.asked == [("POST", f"{DRIVER}/drain")]


def test_the_driver_of_an_existing_cluster_is_where_its_job_says() -> None:
    spec = {"cluster": {"existing": {"name": "shared"}}}
    cache = cache_with(status=RUNNING, spec=spec)
    world = World(heads={("POST", "/drain"): b""}, cache=cache)
    with pytest.raises(ActionRefused, match="its address is not known yet"):
        world.do(DrainDriver("shared", SUBMISSION, "r"))
    cache.put_job(KEY, JobSeen(SUBMISSION, "RUNNING", driver_address="10.0.0.7:21001"))
    world.do(DrainDriver("shared", SUBMISSION, "r"))
    assert world.heads.asked == [("POST", "http://10.0.0.7:21001/drain")]
