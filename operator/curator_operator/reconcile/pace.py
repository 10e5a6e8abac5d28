"""`poll_within_s`: how soon a run is to be asked again, where the usual pace would be late.

Called by the poller after each poll. At a steady pace half of it passes, in the mean, before a run
that has ended is seen to have; the driver knows beforehand when that will be.
"""

from __future__ import annotations

from curator_operator.reconcile.observed import JobSeen, SnapshotSeen

# Between submission and the first figures lie about ten seconds, in which everybody looks.
STARTING_S = 2.0
SOONEST_S = 0.5
# The driver has reported its end; its process is gone a moment after that was fetched.
ENDING_S = 0.25


def poll_within_s(job: JobSeen, snapshot: SnapshotSeen | None) -> float | None:
    """Seconds until the next poll at the latest; None leaves it to the usual pace.

    A quarter of the time that is left, so that an estimate that was too long is corrected on the
    way: where tasks take seconds, those under way count as a whole in it.
    """
    if job.state == "PENDING":
        return STARTING_S
    if job.state != "RUNNING":
        return None
    if snapshot is None or snapshot.submission_id != job.submission_id:
        return STARTING_S
    shot = snapshot.snapshot
    if shot.state == "Starting":
        return STARTING_S
    if shot.state == "Draining":
        return SOONEST_S
    if shot.state != "Running":
        return ENDING_S
    return None if shot.eta_s is None else max(SOONEST_S, shot.eta_s / 4)
