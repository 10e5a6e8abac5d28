"""The terminal: a live display while the run goes on, tables at its end.

`console_sink` picks the live display where standard output is a terminal, and log lines
elsewhere. Lines that stages print reach the driver's standard output and error; the display lets
them pass above itself.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.sinks.end_tables import end_tables
from curator_executor.sinks.live_view import live_view
from curator_executor.sinks.log_lines import LogLinesSink

# The clock in the display shows seconds; a refresh of eight stages costs about 6 ms of the
# driver, so twice a second stays near 1% of a core.
REFRESHES_PER_S = 2.0
View = Callable[[ProgressSnapshot, int, int, float], RenderableType]
"""What is shown of a snapshot; its arguments are those of `live_view`."""


class LiveSink:
    """Shows the last snapshot in place, and the tables of the end below what was printed.

    Args:
        console: a terminal.
        now: seconds, monotonic.
        auto_refresh: redraw from a thread of its own; off in tests.
        over: wraps what standard output and error become meanwhile, to see what is printed there.
        view: what to show of a snapshot.
    """

    def __init__(
        self,
        console: Console,
        now: Callable[[], float] = time.monotonic,
        auto_refresh: bool = True,
        over: Callable[[TextIO], TextIO] | None = None,
        view: View = live_view,
    ) -> None:
        self._console = console
        self._now = now
        self._auto_refresh = auto_refresh
        self._over = over
        self._show = view
        self._live: Live | None = None
        self._snapshot: ProgressSnapshot | None = None
        self._taken_at = 0.0
        self._handlers: list[tuple[logging.StreamHandler[Any], TextIO]] = []

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Show the snapshot at the next refresh."""
        self._snapshot = snapshot
        self._taken_at = self._now()
        if self._live is None:
            self._start()
        elif not self._auto_refresh:
            self._live.refresh()

    def close(self, report: RunReport) -> None:
        """Remove the display and print the tables of the end."""
        self.stop()
        self._console.print(end_tables(report, self._console.width))

    def stop(self) -> None:
        """Remove the display and give standard output and error back; may be called again."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        for handler, stream in self._handlers:
            handler.stream = stream
        self._handlers = []

    def _start(self) -> None:
        out, err = sys.stdout, sys.stderr
        streams = {out, err}
        self._live = Live(
            get_renderable=self._view,
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            auto_refresh=self._auto_refresh,
            transient=True,
            vertical_overflow="crop",
            # Where standard error goes to a file, it must go on going there.
            redirect_stderr=sys.stderr.isatty(),
        )
        self._live.start(refresh=True)
        if self._over is not None and sys.stdout is not out:
            sys.stdout = self._over(sys.stdout)
        if self._over is not None and sys.stderr is not err:
            sys.stderr = self._over(sys.stderr)
        for handler in _stream_handlers():
            # A handler keeps the stream it was made with and would write across the display.
            if handler.stream in streams and handler.stream.isatty():
                self._handlers.append((handler, handler.stream))
                handler.stream = sys.stderr

    def _view(self) -> RenderableType:
        if self._snapshot is None:
            return ""
        since_s = self._now() - self._taken_at
        return self._show(self._snapshot, self._console.width, self._console.height, since_s)


class LinesSink(LogLinesSink):
    """Log lines while the run goes on, the tables of the end as plain text.

    Args:
        console: where the tables go.
        interval_s: seconds between lines.
    """

    def __init__(self, console: Console, interval_s: float) -> None:
        super().__init__(interval_s)
        self._console = console

    def close(self, report: RunReport) -> None:
        """Log the last line and print the tables."""
        super().close(report)
        self._console.print(end_tables(report, self._console.width))

    def stop(self) -> None:
        """Nothing to give back."""


def console_sink(
    console: Console, interval_s: float, over: Callable[[TextIO], TextIO] | None = None
) -> LiveSink | LinesSink:
    """The sink that suits the console: live on a terminal, lines elsewhere.

    Args:
        console: where standard output goes.
        interval_s: seconds between log lines, where there is no terminal.
        over: wraps the streams that a live display puts in place of standard output and error.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveSink(console, over=over)
    return LinesSink(console, interval_s)


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    return [
        handler
        for logger in loggers
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
