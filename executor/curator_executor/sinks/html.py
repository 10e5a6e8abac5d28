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

from jinja2 import Environment, PackageLoader, StrictUndefined

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
        require_writable(self.path)

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Nothing: the report carries its own history."""

    def close(self, report: RunReport) -> None:
        """Write the page under a temporary name, then rename it: never half a page."""
        write_page(self.path, render_report(report, self._settings, self._notes))


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
    return render_page(
        "report.html.j2",
        view=report_view(report, named, notes),
        shown_dead_letters=SHOWN_DEAD_LETTERS,
        shown_task_ids=SHOWN_TASK_IDS,
        duration=format_duration,
    )


def render_page(template: str, **values: object) -> str:
    """A page of this package, as text."""
    return _environment().get_template(template).render(version=_version(), **values)


def require_writable(path: Path) -> None:
    """Prove that a page can be written there; a report is worth little if that shows only later.

    Permission bits would not tell about read-only mounts.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = _temporary(path)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:  # about the file that was asked for, not about the temporary one
        raise type(error)(error.errno, error.strerror, str(path)) from error


def write_page(path: Path, page: str) -> None:
    """Write a page under a temporary name, then rename it: never half a page.

    Raises:
        OSError: it cannot be written there.
    """
    temporary = _temporary(path)
    # Texts of documents may hold lone surrogates, which UTF-8 has no form for.
    temporary.write_bytes(page.encode("utf-8", "replace"))
    temporary.replace(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _version() -> str:
    try:
        return version("curator-operator")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return ""


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("curator_executor", "sinks"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
