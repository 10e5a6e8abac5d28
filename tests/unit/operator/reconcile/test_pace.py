"""When a run is asked sooner than usual: while it starts, and as its end comes near."""

from __future__ import annotations

import pytest

from curator_operator.reconcile.observed import JobSeen, SnapshotSeen
from curator_operator.reconcile.pace import ENDING_S, SOONEST_S, STARTING_S, poll_within_s
from tests.unit.operator.reconcile.seen import JOB, snapshot

RUNNING = JobSeen(JOB, "RUNNING")


@pytest.mark.parametrize(
    ("job", "seen", "within_s"),
    [
        pytest.param(JobSeen(JOB, "PENDING"), None, STARTING_S, id="Ray starts the job"),
        pytest.param(RUNNING, None, STARTING_S, id="the driver has said nothing"),
        pytest.param(RUNNING, snapshot(submission_id="x-1"), STARTING_S, id="only its predecessor"),
        pytest.param(RUNNING, snapshot(state="Starting"), STARTING_S, id="workers start"),
        pytest.param(RUNNING, snapshot(eta_s=None), None, id="no estimate"),
        pytest.param(RUNNING, snapshot(eta_s=8.0), 2.0, id="a quarter of what is left"),
        pytest.param(RUNNING, snapshot(eta_s=0.1), SOONEST_S, id="any moment now"),
        pytest.param(RUNNING, snapshot(state="Draining"), SOONEST_S, id="it drains"),
        pytest.param(RUNNING, snapshot(state="Succeeded"), ENDING_S, id="Ray is behind"),
        pytest.param(JobSeen(JOB, "unreachable"), snapshot(eta_s=1.0), None, id="unreachable"),
        pytest.param(JobSeen(JOB, "SUCCEEDED"), snapshot(), None, id="ended"),
    ],
)
def test_the_pace_follows_the_run(
    job: JobSeen, seen: SnapshotSeen | None, within_s: float | None
) -> None:
    assert poll_within_s(job, seen) == within_s
