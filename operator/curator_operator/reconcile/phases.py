"""Phases of a pipeline as a table: which may follow which.

Read by the tests, which hold every written status against it, and by `case`, which mends a phase
that cannot be true. docs/concepts/lifecycle.md shows the same table to users.
"""

from __future__ import annotations

from curator_api.v1alpha1.status import ENDED, Phase

# An attempt may be under way in these: something may run for the pipeline.
ACTIVE: frozenset[Phase] = frozenset({"Queued", "Starting", "Running", "Suspending", "Stopping"})

NEXT: dict[Phase | None, frozenset[Phase]] = {
    None: frozenset({"Pending", "Starting", "Suspended"}),
    "Pending": frozenset({"Starting", "Suspended"}),
    "Queued": frozenset({"Starting", "Suspending", "Stopping", "Failed"}),
    "Starting": frozenset({"Queued", "Running", "Suspending", "Stopping", *ENDED}),
    # Back to Starting: its cluster was lost and the next attempt begins.
    "Running": frozenset({"Starting", "Queued", "Suspending", "Stopping", *ENDED}),
    # The job may end by itself while it drains.
    "Suspending": frozenset({"Suspended", "Stopping", *ENDED}),
    "Suspended": frozenset({"Starting"}),
    "Stopping": ENDED,
    "Succeeded": frozenset(),
    "Failed": frozenset(),
}
