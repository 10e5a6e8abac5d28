"""JSON lines: a snapshot a line while the run goes on, the report as the last line.

Written by `curator run --progress FILE`; read by dashboards, tests and `read_progress`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from curator_api.progress import ProgressSnapshot, RunReport


class JsonLinesSink:
    """Writes each snapshot as one line, on disk before `publish` returns to the run.

    Args:
        path: the file; an older one is replaced.

    Raises:
        OSError: the file cannot be written; said before any work starts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # Line buffering hands each line to the system as it ends: `tail -f` sees it at once.
        self._file = self.path.open("w", encoding="utf-8", buffering=1, newline="\n")

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Write one line: the fields of `ProgressSnapshot`."""
        self._file.write(snapshot.model_dump_json(by_alias=True) + "\n")

    def close(self, report: RunReport) -> None:
        """Write the last line: the fields of `RunReport`; it alone has a `snapshot` in it."""
        self._file.write(report.model_dump_json(by_alias=True) + "\n")
        self.stop()

    def stop(self) -> None:
        """Close the file; what is written stays."""
        self._file.close()


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
