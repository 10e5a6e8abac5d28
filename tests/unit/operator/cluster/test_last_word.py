"""The driver's last word, where nobody who lives has fetched it: it is in what Ray keeps."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api import last_word
from curator_api.progress import FailureSummary, ProgressSnapshot, RunState, StageProgress
from curator_operator.cluster.http import NotFound, Refused, TooLarge, Unreachable
from curator_operator.cluster.read import observed
from curator_operator.reconcile.observed import SnapshotSeen
from curator_operator.reconcile.plan import plan
from tests.unit.operator.cluster.fakes import (
    KEY,
    NOW,
    RUNNING,
    SETTINGS,
    SUBMISSION,
    cache_with,
)
from tests.unit.operator.cluster.test_follow import JOB, PROGRESS, World, record
from tests.unit.operator.reconcile.seen import conditions, said, spec

LOG = ("GET", f"/api/v0/logs/file?node_id=n1&filename=job-driver-{SUBMISSION}.log&lines=20")
FAILED = "Job entrypoint command failed with exit code {}, last available logs (truncated to "
FAILED += "20,000 chars):\n{}"
SUCCEEDED = record("SUCCEEDED", driver_exit_code=0, driver_node_id="n1")


def snapshot(state: RunState = "Failed", **given: Any) -> ProgressSnapshot:
    return ProgressSnapshot(
        run_id="r", pipeline="clean", state=state, time=NOW, elapsed_s=9.0, **given
    )


def log(last: ProgressSnapshot | None, *after: str) -> str:
    """The end of a driver's log."""
    said = ["(embed pid=7) loading", "curator: stage embed failed"]
    said += [] if last is None else [last_word.written(last.model_dump_json(by_alias=True))]
    return "".join(f"{line}\n" for line in (*said, *after))


def failed(code: int, last: ProgressSnapshot | None, *after: str) -> bytes:
    """What Ray's record says of a driver that ended with this code."""
    message = FAILED.format(code, log(last, *after))
    return record("FAILED", message=message, driver_exit_code=code)


def world(heads: dict[tuple[str, str], Any], **controls: Any) -> World:
    return World(heads, cache=cache_with(status=RUNNING, spec=spec(**controls)))


def decided(world: World) -> Any:
    """What the operator makes of what was polled."""
    entry = world.cache.entry(KEY)
    assert entry.pipeline is not None
    return plan(observed(entry, entry.pipeline.seen, kuberay=True), SETTINGS, NOW)


def test_a_stage_that_failed_is_told_after_an_operator_that_knew_has_died() -> None:
    """1. A stage fails; the driver serves its last snapshot.
    2. An operator fetches it, and the driver ends.
    3. The operator dies before it has written what it knows.
    4. The next one finds a job that failed with exit code 1, and nobody to ask.
    """
    last = snapshot(message="stage embed failed: CUDA error")
    first = world({JOB: record("RUNNING"), PROGRESS: last.model_dump_json(by_alias=True).encode()})
    first.poll()
    second = world({JOB: failed(1, last)})
    second.poll()
    made = decided(second)
    assert conditions(made)["Failed"] == ("True", "StageFailed")
    assert said(made, "Failed") == "stage embed failed: CUDA error"


def test_a_stage_that_failed_while_no_operator_ran_is_tried_again_where_that_is_wanted() -> None:
    polled = world({JOB: failed(1, snapshot(message="no luck"))}, retryOn=["StageFailed"])
    polled.poll()
    made = decided(polled).status
    assert (made.phase, made.attempt, made.retries_used) == ("Starting", 2, 1)
    assert "no luck" in (made.message or "")


def test_counts_and_failures_of_the_end_are_shown() -> None:
    stages = [StageProgress(name="embed", done=7, failed=2)]
    failure = FailureSummary(stage="embed", error="OSError", message="disk", count=2, task_id="t")
    last = snapshot("Succeeded", inputs_done=9, stages=stages, failures=[failure])
    polled = world({JOB: failed(3, last)})
    polled.poll()
    made = decided(polled)
    assert "2 tasks given up on (embed 2)" in said(made, "Complete")
    assert made.status.progress.inputs_done == 9
    assert [one.error for one in made.status.failures] == ["OSError"]


@pytest.mark.parametrize("after", [(), ("atexit says goodbye", "and its worker too")])
def test_what_is_printed_after_the_last_word_does_not_hide_it(after: tuple[str, ...]) -> None:
    polled = world({JOB: failed(1, snapshot(message="m"), *after)})
    polled.poll()
    assert polled.cache.entry(KEY).snapshot == SnapshotSeen(SUBMISSION, snapshot(message="m"), NOW)


def test_the_words_of_ray_are_kept_without_the_last_word() -> None:
    polled = world({JOB: failed(1, snapshot(message="m"), "goodbye")})
    polled.poll()
    assert polled.job.message == FAILED.format(1, log(None, "goodbye"))


def test_a_driver_that_ends_without_a_last_word_has_failed_itself() -> None:
    """As it does where its image is older, or lacks a module."""
    polled = world({JOB: failed(1, None)})
    polled.poll()
    assert conditions(decided(polled))["Failed"] == ("True", "DriverFailed")


def test_a_last_word_that_is_cut_off_is_none() -> None:
    message = FAILED.format(1, log(snapshot(message="m"))[:-20])
    polled = world({JOB: record("FAILED", message=message, driver_exit_code=1)})
    polled.poll()
    assert polled.cache.entry(KEY).snapshot is None
    assert conditions(decided(polled))["Failed"] == ("True", "DriverFailed")


def test_what_was_fetched_is_not_replaced_by_its_shorter_form() -> None:
    whole = snapshot(message="m", stages=[StageProgress(name="embed", done=7)])
    polled = world({JOB: failed(1, snapshot(message="m"))})
    polled.cache.put_snapshot(KEY, SnapshotSeen(SUBMISSION, whole, NOW - 6))
    polled.poll()
    assert polled.cache.entry(KEY).snapshot == SnapshotSeen(SUBMISSION, whole, NOW - 6)


@pytest.mark.parametrize(
    "before", [snapshot("Running"), snapshot().model_copy(update={"run_id": "q"})]
)
def test_progress_from_before_the_end_gives_way_to_the_last_word(before: ProgressSnapshot) -> None:
    """So does the end of an earlier run of the same job, which Kueue pre-empted."""
    polled = world({JOB: failed(1, snapshot(message="m"))})
    polled.cache.put_snapshot(KEY, SnapshotSeen(SUBMISSION, before, NOW - 6))
    polled.poll()
    assert polled.cache.entry(KEY).snapshot == SnapshotSeen(SUBMISSION, snapshot(message="m"), NOW)


def test_a_job_that_succeeded_is_asked_for_the_end_of_its_log() -> None:
    """Ray keeps no part of it in the record of such a job."""
    last = snapshot("Succeeded", inputs_done=9)
    polled = world({JOB: SUCCEEDED, LOG: log(last).encode()})
    polled.poll()
    made = decided(polled)
    assert said(made, "Complete") == "the run is done: 9 inputs"
    assert made.status.progress.inputs_done == 9


@pytest.mark.parametrize(
    "error",
    [Unreachable("late"), Refused("500", 500), NotFound("404", 404), TooLarge("long", 200)],
    ids=lambda error: type(error).__name__,
)
def test_a_success_whose_log_cannot_be_had_is_a_success(error: Exception) -> None:
    polled = world({JOB: SUCCEEDED, LOG: error})
    polled.poll()
    assert said(decided(polled), "Complete") == "the run is done"


def test_nothing_is_asked_of_the_log_where_the_end_was_fetched() -> None:
    polled = world({JOB: SUCCEEDED})
    polled.cache.put_snapshot(KEY, SnapshotSeen(SUBMISSION, snapshot("Succeeded"), NOW - 6))
    polled.poll()
    assert len(polled.heads.asked) == 1
