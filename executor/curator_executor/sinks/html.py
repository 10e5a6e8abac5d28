"""`--report report.html`: one self-contained page about a run that has ended.

The page loads nothing from anywhere, works without scripts, follows the reader's light or dark
theme and fits a phone. `render_report` is pure; `HtmlReportSink` writes it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.runtime.settings import RunSettings
from curator_executor.sinks.formatting import format_duration
from curator_executor.sinks.report_view import SHOWN_DEAD_LETTERS, SHOWN_TASK_IDS, report_view


class HtmlReportSink:
    """Writes the page when the run ends, whatever the end.

    Args:
        path: the file; an older one is replaced.
        settings: the run's settings, to be shown.
        notes: what the compilation of the manifest had to say, to be shown.

    Raises:
        OSError: the file cannot be written there; said before any work starts.
    """

    def __init__(
        self, path: str | Path, settings: RunSettings | None = None, notes: Sequence[str] = ()
    ) -> None:
        self.path = Path(path)
        self._settings = settings
        self._notes = tuple(notes)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        # Proves now that the place can be written to; a report is worth little if that shows only
        # after hours of work. Permission bits would not tell about read-only mounts.
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
        try:
            self._temporary.touch()
            self._temporary.unlink()
        except OSError as error:  # about the file that was asked for, not about the temporary one
            raise type(error)(error.errno, error.strerror, str(self.path)) from error

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Nothing: the report carries its own history."""

    def close(self, report: RunReport) -> None:
        """Write the page under a temporary name, then rename it: never half a page."""
        page = render_report(report, self._settings, self._notes)
        # Texts of documents may hold lone surrogates, which UTF-8 has no form for.
        self._temporary.write_bytes(page.encode("utf-8", "replace"))
        self._temporary.replace(self.path)


def render_report(
    report: RunReport, settings: RunSettings | None = None, notes: Sequence[str] = ()
) -> str:
    """The page as text.

    Args:
        report: the run.
        settings: the run's settings, or None to leave them out.
        notes: lines to show beside the settings.
    """
    named = [(f.name, str(getattr(settings, f.name))) for f in fields(settings)] if settings else []
    return _template().render(
        view=report_view(report, named, notes),
        version=_version(),
        shown_dead_letters=SHOWN_DEAD_LETTERS,
        shown_task_ids=SHOWN_TASK_IDS,
        duration=format_duration,
    )


def _version() -> str:
    try:
        return version("curator-operator")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return ""


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("curator_executor", "sinks"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
