"""Programs that the tests start: a log each, ready when they say so, gone when the test run is.

Used by everything in `tests/cluster` that starts a program, from the main thread (the kernel ties
a child to the thread that started it).
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

LEASH = Path(__file__).with_name("leash.py")
# How long a program may take over SIGTERM; then it is killed.
GRACE_S = 10.0
# Of several test processes each draws by chance, so that two hardly ever draw the same.
FIRST_PORT, PORTS = 20_000, 10_000
# What is waited for has no file descriptor to wait on: a port, an answer, a line in a log.
LOOK_EVERY_S = 0.05
SHOWN_LINES = 30


class TookTooLong(AssertionError):
    """Something did not happen in its time; the message says what was seen last."""


class ProgramEnded(AssertionError):
    """A program ended that should be running; the message has the end of its log."""


def eventually(look: Callable[[], Found | None], what: str, within_s: float = 30.0) -> Found:
    """Look until there is something: the first result that is true.

    Args:
        look: gives the thing, or something false while it is not there. An AssertionError counts as
            not there and is shown if the time runs out.
        what: what is waited for, for the message.
        within_s: how long to look.

    Raises:
        TookTooLong: the time is over.
    """
    deadline = time.monotonic() + within_s
    while True:
        seen: object
        try:
            found = look()
            if found:
                return found
            seen = found
        except (ProgramEnded, TookTooLong):
            raise
        except AssertionError as error:
            seen = error
        if time.monotonic() > deadline:
            raise TookTooLong(f"{what}: not within {within_s:g} s; seen last: {seen}")
        time.sleep(LOOK_EVERY_S)


def free_port() -> int:
    """A port that nobody listens on now.

    It may be seconds until it is used, so it is none of those that the system gives to whoever asks
    for any (from 32768 on) or that Ray gives to its workers (up to 19999).
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("", port))
            return port


class Program:
    """One program, started at once.

    Args:
        name: what it is called in messages and in its log's file name.
        command: program and arguments; the program as a full path.
        directory: where its log goes and where it runs.
        environment: the whole environment; this process's if it is left out.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-S", LEASH, str(os.getpid()), *map(str, command)],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal is for the tests; they end their programs in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until(self, look: Callable[[], Found | None], what: str, within_s: float) -> Found:
        """Look until there is something, as long as the program runs.

        Raises:
            ProgramEnded: it ended instead.
            TookTooLong: the time is over; the message has the end of its log.
        """

        def look_while_it_runs() -> Found | None:
            found = look()
            if not found and not self.is_running():
                status = self._process.returncode
                raise ProgramEnded(f"{self.name} ended with status {status}: {self.log_end()}")
            return found

        try:
            return eventually(look_while_it_runs, f"{self.name}: {what}", within_s)
        except TookTooLong as error:
            raise TookTooLong(f"{error}; {self.log_end()}") from None

    def log_text(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(errors="replace")

    def log_end(self) -> str:
        """The last lines of its log, and where it is."""
        lines = self.log_text().splitlines()[-SHOWN_LINES:]
        return "\n".join([f"{self.log} ends:", *lines])

    def kill(self) -> None:
        """SIGKILL, as a lost machine: it hears nothing of it."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal and don't wait."""
        self._process.send_signal(number)

    def wait(self, within_s: float) -> int:
        """Its exit status when it has ended.

        Raises:
            TookTooLong: it has not.
        """
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise TookTooLong(
                f"{self.name} did not end within {within_s:g} s; {self.log_end()}"
            ) from None

    def stop(self, within_s: float = GRACE_S) -> int:
        """SIGTERM, and SIGKILL if that is not enough; once is enough. Returns its exit status."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return int(self._process.returncode)
