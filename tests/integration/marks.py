"""`Marks`: files by which stages in workers, and tests, tell each other what happened.

A mark is a latch: whoever needs an order waits for a mark instead of for some time.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

# A mark that has not come by then will not: fail instead of hanging.
COMES_WITHIN_S = 90.0


class Marks:
    """Marks and a common log in a directory; pickled by its path."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def _path(self, name: str) -> Path:
        return Path(self.directory) / name

    def set(self, name: str, text: str = "") -> None:
        """Set a mark, complete or not at all."""
        part = self._path(f".{name}.{os.getpid()}")
        part.write_text(text)
        part.rename(self._path(name))

    def first(self, name: str) -> bool:
        """Set a mark; True for the one caller that was first."""
        try:
            self._path(name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def is_set(self, name: str) -> bool:
        """Whether the mark is there."""
        return self._path(name).exists()

    def wait(self, name: str, within_s: float = COMES_WITHIN_S) -> str:
        """Wait for a mark; its text."""
        deadline = time.monotonic() + within_s
        while not self.is_set(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the mark {name!r} was not set within {within_s:g} s")
            time.sleep(0.01)
        return self._path(name).read_text()

    def log(self, line: str) -> None:
        """Add a line to the log; lines of all processes are in the order in which they came."""
        with self._path("log").open("a") as file:
            file.write(line + "\n")

    def lines(self, start: str = "") -> list[str]:
        """Lines of the log, those that begin with `start`."""
        path = self._path("log")
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(start)]

    def wait_for_lines(self, start: str, count: int, within_s: float = COMES_WITHIN_S) -> None:
        """Wait until the log has so many such lines."""
        deadline = time.monotonic() + within_s
        while len(self.lines(start)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.lines(start))} lines {start!r}, wanted {count}")
            time.sleep(0.01)


def kill_this_process() -> None:
    """End the process as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
