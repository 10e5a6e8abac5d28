"""`spec.artifacts`: the report, the progress history and the log of a run, kept at a location.

Called by `run`. The files come into being in a scratch directory and are copied at the end, since
object stores take whole files; whether that works does not change how the run ended.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.cli.ray_job import submission_of
from curator_executor.cli.transcript import Transcript
from curator_executor.sinks.end_tables import end_tables

REPORT = "report.html"
PROGRESS = "progress.jsonl"
LOG = "driver.log"
_TABLE_WIDTH = 120


class Artifacts:
    """The files of one run.

    Args:
        uri: `spec.artifacts.uri`.
        name: the run's folder there.
        directory: where they come into being.
    """

    def __init__(self, uri: str, name: str, directory: Path) -> None:
        self.target = f"{uri.rstrip('/')}/{name}"
        self.report = directory / REPORT
        self.progress = directory / PROGRESS
        self.transcript = Transcript(directory)
        self._log = directory / LOG

    def save(self) -> None:
        """Copy the files that there are; what cannot be written is said on standard error."""
        troubles: list[str] = []
        try:
            self._copy(troubles)
        except KeyboardInterrupt:
            troubles.append("interrupted")
        except Exception as error:  # noqa: BLE001 - file systems raise errors of their own
            troubles.append(f"{type(error).__name__}: {error}")
        if troubles:
            said = "; ".join(troubles)
            print(f"curator: artifacts not all written to {self.target}: {said}", file=sys.stderr)
        else:
            print(f"artifacts: {self.target}", file=sys.stderr)

    def _copy(self, troubles: list[str]) -> None:
        from curator_executor.stages.files import open_filesystem

        self.transcript.save(self._log)
        filesystem, folder = open_filesystem(self.target, None)
        filesystem.makedirs(folder, exist_ok=True)
        for path in (self.report, self.progress, self._log):
            if not path.exists():
                continue
            try:
                filesystem.put_file(str(path), f"{folder}/{path.name}")
            except Exception as error:  # noqa: BLE001 - the next one may fare better
                troubles.append(f"{path.name}: {type(error).__name__}: {error}")


class TableSink:
    """Writes the tables of the end into the transcript; the display has its own way out."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Nothing."""

    def close(self, report: RunReport) -> None:
        """Write them."""
        console = Console(width=_TABLE_WIDTH, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(end_tables(report, _TABLE_WIDTH))
        self._transcript.write(captured.get())


@contextmanager
def gathering(uri: str, run_id: str) -> Iterator[Artifacts]:
    """Artifacts, with a scratch directory that is removed at the end."""
    directory = tempfile.mkdtemp(prefix="curator-artifacts-")
    try:
        yield Artifacts(uri, folder_name(run_id, os.environ), Path(directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def folder_name(run_id: str, environment: Mapping[str, str]) -> str:
    """The id under which the driver was submitted to Ray, else the run's own, as a file name."""
    submission = submission_of(environment)
    return re.sub(r"[^A-Za-z0-9._-]", "_", submission).lstrip(".") or run_id
