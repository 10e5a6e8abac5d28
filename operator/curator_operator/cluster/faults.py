"""Fault points: the process ends itself, as by SIGKILL, before or after one of its effects.

For tests of what survives a crash; off unless the environment has
`CURATOR_FAULT=<before|after>:<name>[:<nth>]`, where the name is an action's or `WriteStatus`.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from curator_operator.reconcile.actions import ACTIONS

logger = logging.getLogger(__name__)
VARIABLE = "CURATOR_FAULT"
WRITE_STATUS = "WriteStatus"
POINTS: tuple[str, ...] = (WRITE_STATUS, *(action.__name__ for action in ACTIONS))
_WHEN = ("before", "after")


class FaultError(ValueError):
    """`CURATOR_FAULT` names no fault point."""


@dataclass(frozen=True)
class Fault:
    """Where to end: at the `nth` time that `when` `name` comes by."""

    when: str
    name: str
    nth: int = 1


def parse(text: str) -> Fault:
    """The fault that `text` names.

    Raises:
        FaultError: there is no such point.
    """
    parts = text.split(":")
    nth = parts[2] if len(parts) == 3 else "1"
    if len(parts) not in {2, 3} or parts[0] not in _WHEN or not nth.isdigit() or int(nth) < 1:
        raise FaultError(f"{VARIABLE}: wanted <before|after>:<name>[:<nth>], got {text!r}")
    if parts[1] not in POINTS:
        raise FaultError(f"{VARIABLE}: wanted one of {', '.join(POINTS)}, got {parts[1]!r}")
    return Fault(parts[0], parts[1], int(nth))


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Faults:
    """Counts the fault points that come by, and ends the process at the wanted one."""

    def __init__(self, fault: Fault | None = None, end: Callable[[], None] = _end) -> None:
        """End at `fault` by `end`; never without one."""
        self._fault = fault
        self._end = end
        self._seen = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Faults:
        """The fault that the environment asks for, as a rule none.

        Raises:
            FaultError: it asks for one that does not exist.
        """
        text = environment.get(VARIABLE)
        return cls(parse(text) if text else None)

    def at(self, when: str, name: str) -> None:
        """The process is `when` ("before" or "after") doing `name`."""
        if self._fault is None or (when, name) != (self._fault.when, self._fault.name):
            return
        self._seen += 1
        if self._seen == self._fault.nth:
            logger.critical("fault point", extra={"when": when, "what": name})
            self._end()
