"""JSON logs: one line per decision, a constant event and its fields.

Called by `__main__` once, before anything is logged. Whoever logs uses `logging` as usual and
passes the fields as `extra`.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

# kopf says at INFO what each of its watches does; of its per-object lines only trouble matters.
_QUIETER = {"kopf.objects": logging.WARNING, "aiohttp.access": logging.WARNING}


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (default: standard error), a JSON object on each line.

    Args:
        level: least severe level that is logged, such as `INFO`.
        stream: where the lines go.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            timestamp="time",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, quiet in _QUIETER.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))
