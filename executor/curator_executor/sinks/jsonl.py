"""JSON lines: a snapshot a line while the run goes on, the report as the last line.

Written by `curator run --progress FILE`; read by dashboards, tests and `read_progress`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.sinks.wire import to_json


class JsonLinesSink:
    """Writes each snapshot as one line, on disk before `publish` returns to the run.

    Args:
        path: the file; an older one is replaced.

    Raises:
        OSError: the file cannot be written; said before any work starts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # Without a buffer each line is handed to the system at once: `tail -f` sees it.
        self._file = self.path.open("wb", buffering=0)

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Write one line: the fields of `ProgressSnapshot`."""
        self._write(snapshot)

    def close(self, report: RunReport) -> None:
        """Write the last line: the fields of `RunReport`; it alone has a `snapshot` in it."""
        self._write(report)
        self.stop()

    def stop(self) -> None:
        """Close the file; what is written stays."""
        self._file.close()

    def _write(self, model: ProgressSnapshot | RunReport) -> None:
        line = to_json(model) + b"\n"
        if self._file.write(line) != len(line):  # the system took a part, as on a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


def read_progress(path: str | Path) -> Iterator[ProgressSnapshot | RunReport]:
    """The lines of a progress file, as they were published.

    Raises:
        ValueError: a line is neither a snapshot nor a report; names the line.
    """
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                is_report = "snapshot" in json.loads(line)
                model = RunReport if is_report else ProgressSnapshot
                yield model.model_validate_json(line)
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number} is not a progress line: {error}"
                ) from error
