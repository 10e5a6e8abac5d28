"""Logging of a command: one format, on whatever standard error is at the time."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

_NAMES = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is now, so that lines pass above a live display."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Standard error, as it is now."""
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Ignored: there is one stream, and it is asked for each time."""


def start_logging(level: str, verbose: bool) -> None:
    """Send log lines to standard error; called again, it changes the level alone.

    Args:
        level: least important lines to show.
        verbose: show lines of level debug, whatever `level` says.
    """
    logger = logging.getLogger("curator_executor")
    if not any(isinstance(handler, CurrentStderr) for handler in logger.handlers):
        handler = CurrentStderr()
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        )
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else _NAMES.get(level, logging.ERROR))
