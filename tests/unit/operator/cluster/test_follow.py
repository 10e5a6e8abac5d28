"""One poll: the job, then the driver; and which head it was that answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from curator_operator.cluster.cache import Cache
from curator_operator.cluster.driver import Driver
from curator_operator.cluster.follow import Follower
from curator_operator.cluster.http import NotFound, Refused, Unreachable
from curator_operator.cluster.jobs import Jobs
from curator_operator.cluster.read import Reader
from curator_operator.cluster.targets import Targets
from curator_operator.metrics import Metrics
from curator_operator.reconcile.observed import JobSeen
from tests.unit.operator.cluster.fakes import (
    KEY,
    NOW,
    RUNNING,
    SETTINGS,
    SUBMISSION,
    ScriptedApi,
    ScriptedHeads,
    cache_with,
    head_pod,
    pipeline,
)

JOB = ("GET", f"/api/jobs/{SUBMISSION}")
PROGRESS = ("GET", "/progress")
PODS = ("GET", "/api/v1/namespaces/team-a/pods")
GONE = NotFound(f"Job {SUBMISSION} does not exist", 404)


def record(state: str, **given: Any) -> bytes:
    return json.dumps({"status": state, "entrypoint": "x", **given}).encode()


def snapshot(**given: Any) -> bytes:
    values = {"runId": "r", "pipeline": "p", "state": "Running", "time": 5.0, "elapsedS": 1.0}
    return json.dumps(values | given).encode()


def page(*pods: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {}, "items": list(pods)}


class World:
    def __init__(self, heads: Mapping[tuple[str, str], Any], *, cache: Cache | None = None) -> None:
        self.api = ScriptedApi()
        self.cache = cache if cache is not None else cache_with(status=RUNNING)
        self.cache.put_pod(head_pod())
        self.heads = ScriptedHeads(heads)
        self.follower = Follower(
            self.cache,
            Reader(self.api, self.cache),
            Targets(self.api, SETTINGS, clock=lambda: 0.0),
            (Jobs(self.heads), Driver(self.heads)),
            Metrics(),
        )
        self.now = NOW
        self.follower.wall = lambda: self.now

    def poll(self) -> bool:
        return asyncio.run(self.follower.poll(KEY))

    @property
    def job(self) -> JobSeen:
        return self.cache.entry(KEY).job


def test_a_running_job_and_its_progress() -> None:
    world = World({JOB: record("RUNNING", message="runs"), PROGRESS: snapshot(inputsDone=3)})
    assert world.poll()
    assert world.job == JobSeen(
        SUBMISSION, "RUNNING", NOW, "runs", head_container_id="containerd://one"
    )
    seen = world.cache.entry(KEY).snapshot
    assert seen is not None
    assert (seen.submission_id, seen.at, seen.snapshot.inputs_done) == (SUBMISSION, NOW, 3)


def test_a_second_poll_that_finds_the_same_is_no_news() -> None:
    world = World({JOB: record("RUNNING"), PROGRESS: [snapshot(), snapshot(time=11.0)]})
    assert world.poll()
    assert not world.poll()


def test_a_job_that_ended_is_not_asked_for_progress() -> None:
    world = World({JOB: record("FAILED", driver_exit_code=1)})
    assert world.poll()
    assert (world.job.state, world.job.exit_code) == ("FAILED", 1)
    assert len(world.heads.asked) == 1


def test_a_driver_that_does_not_answer_leaves_the_last_progress() -> None:
    world = World({JOB: record("RUNNING"), PROGRESS: [snapshot(), Unreachable("closed")]})
    world.poll()
    before = world.cache.entry(KEY).snapshot
    assert not world.poll()
    assert world.cache.entry(KEY).snapshot is before
    assert world.job.state == "RUNNING"


def test_a_head_that_does_not_answer_is_unreachable_since_the_first_time() -> None:
    world = World(
        {
            JOB: [record("PENDING"), Unreachable("a"), Refused("b", 500), record("RUNNING")],
            PROGRESS: snapshot(),
        }
    )
    world.poll()
    for later, news in ((6, True), (12, True)):
        world.now = NOW + later
        assert world.poll() is news
        assert (world.job.state, world.job.unreachable_since) == ("unreachable", NOW + 6)
    assert world.job.message == "Refused: b"
    # Which head had the job last is still known.
    assert world.job.head_container_id == "containerd://one"
    world.poll()
    assert (world.job.state, world.job.unreachable_since) == ("RUNNING", None)


def test_a_clock_set_back_does_not_put_the_silence_into_the_future() -> None:
    """1. The head falls silent. 2. The clock is set back by an hour. Else the silence would count
    as no time at all until the clock has caught up, and the head would not be lost for an hour.
    """
    world = World({JOB: Unreachable("closed")})
    since = []
    for at in (NOW, NOW - 3600, NOW - 3594):
        world.now = at
        world.poll()
        since.append(world.job.unreachable_since)
    assert since == [NOW, NOW - 3600, NOW - 3600]


def test_a_missing_job_is_told_with_the_container_that_runs_now() -> None:
    """1. The head's container restarts. 2. The new head is asked, before the watch tells of it.
    It must not look as if the old head had never had the job: then it would be submitted twice.
    """
    world = World({JOB: GONE})
    world.api.answers[PODS] = page(head_pod(35, container="containerd://two"))
    assert world.poll()
    assert (world.job.state, world.job.head_container_id) == ("absent", "containerd://two")


def test_an_answer_while_the_head_changes_counts_for_nothing() -> None:
    world = World({})

    class Changing(ScriptedHeads):
        async def ask(self, method: str, at: Any, path: str, **given: Any) -> bytes:
            world.cache.put_pod(head_pod(31, container="containerd://two"))
            return record("RUNNING")

    world.follower._jobs = Jobs(Changing({}))
    assert not world.poll()
    assert world.job == JobSeen()


def test_what_was_known_of_another_attempt_is_not_carried_over() -> None:
    world = World({JOB: Unreachable("x")})
    world.cache.put_job(KEY, JobSeen("old-1", "RUNNING", head_container_id="containerd://old"))
    world.poll()
    assert world.job.head_container_id == ""


def test_a_pipeline_that_went_meanwhile_is_not_brought_back() -> None:
    world = World({JOB: record("RUNNING"), PROGRESS: snapshot()})

    class Going(ScriptedHeads):
        async def ask(self, method: str, at: Any, path: str, **given: Any) -> bytes:
            world.cache.drop_pipeline(pipeline(50))
            world.cache.drop_pod(head_pod(51))
            return await super().ask(method, at, path, **given)

    world.follower._jobs = Jobs(Going(world.heads.answers))
    assert not world.poll()
    assert world.cache.find(KEY) is None


def test_nothing_submitted_nothing_asked() -> None:
    world = World({}, cache=cache_with(status={"phase": "Starting", "attempt": 1}))
    assert not world.poll()
    assert world.heads.asked == []
