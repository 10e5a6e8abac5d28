"""Where what actors said waits for the loop, which sleeps on it.

Called by `pool`. Ray's threads put, the loop's own thread takes.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence

from curator_executor.core.events import Event
from curator_executor.ray_backend.nodes import NodeWatch

# Made in the loop's thread, out of what a thread of Ray's passed on; None: it means nothing now.
Letter = Callable[[], Event | None]


class Mailbox:
    """Letters from actors, and news of the nodes in between.

    Args:
        nodes: looked at when a look is due, since the loop sleeps here.
    """

    def __init__(self, nodes: NodeWatch) -> None:
        self._nodes = nodes
        self._letters: queue.SimpleQueue[Letter] = queue.SimpleQueue()

    def put(self, letter: Letter) -> None:
        """From any thread, and from signal handlers."""
        self._letters.put(letter)

    def wait(self, timeout_s: float | None) -> Sequence[Event]:
        """Sleep until something happens or the time is up.

        A look at the nodes that finds the same ones is nothing that happened, and neither is a
        letter that means nothing: the sleep goes on.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            happened = self._nodes.with_news(self._take(self._nodes.until_look(left)))
            if happened or (until is not None and time.monotonic() >= until):
                return happened

    def _take(self, timeout_s: float) -> list[Event]:
        """All there is, after the first letter or when the time is up."""
        events: list[Event] = []
        try:
            letter = self._letters.get(timeout=timeout_s)
            while True:
                event = letter()
                if event is not None:
                    events.append(event)
                letter = self._letters.get_nowait()
        except queue.Empty:
            return events
