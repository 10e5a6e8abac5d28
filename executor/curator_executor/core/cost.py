"""`Cost`: what a task costs a pool's workers now, from the newest calls. A value; no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# Calls older than this no longer count, as long as there are LEAST newer ones.
WINDOW_S = 10.0
LEAST = 8
# What comes in within a small part of the window is kept as one.
_MOST = 64
# From SURE samples on, one counts no more than OUTLIER times what a task cost until then, so that a
# straggler moves the figure little. So many in a row are no stragglers but a change.
SURE = 4
OUTLIER = 4.0
CHANGE = 3


@dataclass(slots=True)
class Cost:
    """Seconds of work over tasks, of the newest calls together.

    A worker's first call may also load a model or fill a cache. Such calls count only as long as
    there are no others.

    Attributes:
        per_task: seconds of a worker's time for one input task; None before the first sample.
        is_warm: there are samples that are no worker's first.
    """

    per_task: float | None = None
    is_warm: bool = False
    _samples: deque[tuple[float, float, int]] = field(default_factory=deque)
    _seconds: float = 0.0
    _tasks: int = 0
    _slow_in_a_row: int = 0

    def add(self, now: float, seconds: float, tasks: int, *, is_first: bool = False) -> None:
        """Take in that a worker needed so long for so many tasks, one at least."""
        if is_first and self.is_warm:
            return
        if not is_first and not self.is_warm:
            self.is_warm = True
            self._samples.clear()
            self._seconds, self._tasks = 0.0, 0
        if self.per_task is not None and len(self._samples) >= SURE:
            most = OUTLIER * self.per_task * tasks
            self._slow_in_a_row = self._slow_in_a_row + 1 if seconds > most else 0
            if self._slow_in_a_row < CHANGE:
                seconds = min(seconds, most)
        self._seconds += seconds
        self._tasks += tasks
        samples = self._samples
        if len(samples) > LEAST and now - samples[-1][0] < WINDOW_S / _MOST:
            at, more_seconds, more_tasks = samples[-1]
            samples[-1] = (at, more_seconds + seconds, more_tasks + tasks)
        else:
            samples.append((now, seconds, tasks))
        while len(samples) > LEAST and now - samples[0][0] > WINDOW_S:
            _, old_seconds, old_tasks = samples.popleft()
            self._seconds -= old_seconds
            self._tasks -= old_tasks
        self.per_task = max(0.0, self._seconds) / self._tasks
