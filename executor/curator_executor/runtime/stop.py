"""`StopRequest`: how the wish to end a run reaches its loop.

Ctrl-C, SIGTERM and the HTTP endpoint ask here. While the loop runs they post a request that it
takes in between two steps: an exception raised inside `step` would leave the state half changed.
Made by `run` for library use, and by the command line, which also listens to SIGTERM.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol


class Terminated(KeyboardInterrupt):
    """The run was asked to end, not by a person at the keyboard: calls get all of `drain_s`."""


class Cancellable(Protocol):
    """The loop, as far as this module needs it."""

    def cancel(self, interrupt: KeyboardInterrupt) -> None:
        """End soon; called from any thread and from signal handlers."""
        ...


class StopRequest:
    """The one place where the end of one run is asked for.

    Args:
        signals: what to listen to: SIGINT alone (Ctrl-C), or SIGTERM too.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> None:
        self._signals = tuple(signals)
        self._loop: Cancellable | None = None
        self._drain: Terminated | None = None
        self._interrupted = False
        self._depth = 0

    def drain(self, reason: str) -> None:
        """End the run gracefully; asked before it has begun, it ends as soon as it begins.

        Called from any thread, any number of times.

        Args:
            reason: why, for people.
        """
        if self._drain is None:
            self._drain = Terminated(reason)
        # Written first, read by `attached` after it has set the loop: one of the two delivers.
        loop = self._loop
        if loop is not None:
            loop.cancel(self._drain)

    @contextmanager
    def attached(self, loop: Cancellable) -> Iterator[None]:
        """Requests go to this loop meanwhile; one that was made before goes there at once."""
        self._loop = loop
        try:
            if self._drain is not None:
                loop.cancel(self._drain)
            yield
        finally:
            self._loop = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the signals meanwhile; entered again, it takes them back from others.

        Ray sets a handler of its own for SIGTERM when it starts, which ends the process. Does
        nothing outside the main thread, where Python allows no handlers and delivers no signals,
        and leaves Ctrl-C alone where the caller has a handler of its own for it.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {}
        for number in self._signals:
            if number != signal.SIGINT or signal.getsignal(number) is signal.default_int_handler:
                before[number] = signal.signal(number, self._heard)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            # The outer `listening` still wants the signals; only it knows the caller's handlers.
            if not self._depth:
                for number, handler in before.items():
                    signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        """A signal came: post it to the loop; without a loop, or at a second Ctrl-C, raise."""
        by_keyboard = number == signal.SIGINT
        interrupt = KeyboardInterrupt() if by_keyboard else Terminated("terminated by a signal")
        loop = self._loop
        if loop is None or (by_keyboard and self._interrupted):
            raise interrupt
        self._interrupted = self._interrupted or by_keyboard
        loop.cancel(interrupt)
