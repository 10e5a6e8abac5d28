"""What stages print: from the worker's file to the driver's output, before the connection ends.

Ray copies what a worker writes to its standard output and error to the driver, some tenths of a
second later, and drops what is on its way when the driver leaves. So the driver stays that long.
Called by `pool` and, in the worker's process, by `worker`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

# Ray looks for new output ten times a second; then it goes through the control store.
ARRIVES_WITHIN_S = 1.0
STANDARD_STREAMS = (1, 2)


class Prints:
    """When this process last wrote to its standard output or error.

    What is there when it is made does not count: Ray itself writes the actor's name.
    """

    def __init__(self) -> None:
        self._sizes = {stream: found.st_size for stream, found in _streams()}

    def seconds_since(self) -> float:
        """Seconds since the last print; infinitely many if there was none."""
        written = float("-inf")
        for stream, found in _streams():
            if found.st_size != self._sizes.get(stream):
                written = max(written, found.st_mtime)
        return max(0.0, time.time() - written)


def _streams() -> Iterator[tuple[int, os.stat_result]]:
    for stream in STANDARD_STREAMS:
        try:
            yield stream, os.fstat(stream)
        except OSError:  # a stage closed it
            continue


class LastPrint:
    """When a worker last printed, on this process's clock."""

    def __init__(self) -> None:
        self._at = float("-inf")

    def note(self, seconds_ago: float) -> None:
        """A worker has told how long ago it printed."""
        self._at = max(self._at, time.monotonic() - seconds_ago)

    def wait_until_here(self) -> None:
        """Return when it has been shown, if it ever will be."""
        left = self._at + ARRIVES_WITHIN_S - time.monotonic()
        if left > 0:
            time.sleep(left)
