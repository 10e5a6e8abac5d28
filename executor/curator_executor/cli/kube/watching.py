"""`curator watch`: how far a pipeline is, as the API server tells of each change, until it ends.

`watch_to_the_end` is also what `submit` and `rerun` do with `--watch` and `--wait`.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from rich.console import Console, RenderableType

from curator_api.progress import ProgressSnapshot
from curator_executor.cli.kube.api import PIPELINES, Api
from curator_executor.cli.kube.following import Broken, Gone, OneObject, Seen, follow
from curator_executor.cli.kube.naming import no_such_pipeline
from curator_executor.cli.kube.pipeline_view import PipelineView, display_of, line_of, view_of
from curator_executor.cli.outcome import FAILED, CommandError
from curator_executor.sinks.console import LiveSink

# What stays on the screen may be scrolled: no stage is left out.
_FINAL_ROWS = 1000


class Display(Protocol):
    """Where a pipeline is shown."""

    def show(self, view: PipelineView) -> None:
        """Show the view."""

    def trouble(self, message: str) -> None:
        """Show what is wrong with the stream."""

    def close(self) -> None:
        """Give the terminal back."""


class Lines:
    """Prints a line whenever something visible has changed.

    Args:
        say: prints it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: PipelineView | None = None

    def show(self, view: PipelineView) -> None:
        """Print the view, unless it looks like the last one."""
        if not view.same_as(self._last):
            self._last = view
            self._say(line_of(view))

    def trouble(self, message: str) -> None:
        """Print what is wrong with the stream."""
        self._say(message)

    def close(self) -> None:
        """Nothing to give back."""


class Silent:
    """Shows nothing: for who only wants the end."""

    def show(self, view: PipelineView) -> None:
        """Nothing."""

    def trouble(self, message: str) -> None:
        """Say on standard error what is wrong with the stream."""
        print(f"curator: {message}", file=sys.stderr)

    def close(self) -> None:
        """Nothing to give back."""


class Live:
    """Shows the last view in place on a terminal, in the display of `curator run`.

    Args:
        console: the terminal.
        sink: the display; tests hand in one without a thread.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console,
        sink: Callable[..., LiveSink] = LiveSink,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._now = now
        self._shown_at = 0.0
        self._sink = sink(console, view=self._render)
        self._view: PipelineView | None = None
        self._trouble: tuple[str, ...] = ()

    def show(self, view: PipelineView) -> None:
        """Show the view."""
        self._view, self._trouble = view, ()
        self._shown_at = self._now()
        self._sink.publish(view.snapshot)

    def trouble(self, message: str) -> None:
        """Show what is wrong with the stream below the last view, until there is another one.

        The clock goes on from that one, so nothing is published.
        """
        self._trouble = (message,)

    def close(self) -> None:
        """Take the display away and leave the last view on the screen."""
        self._sink.stop()
        if self._view is not None:
            since_s = self._now() - self._shown_at
            self._console.print(self._render(None, self._console.width, _FINAL_ROWS, since_s))

    def _render(
        self, snapshot: ProgressSnapshot | None, width: int, height: int, since_s: float
    ) -> RenderableType:
        if self._view is None:
            return ""
        view = replace(self._view, notes=(*self._view.notes, *self._trouble))
        return display_of(view, width, height, since_s)


def watch_pipeline(options: Namespace, api: Api) -> int:
    """Show the pipeline until it ends; the exit code of its end.

    Raises:
        CommandError: there is no such pipeline, or it was deleted.
        ApiError: the API server did not tell.
    """
    namespace = options.namespace or api.place.namespace
    return watch_to_the_end(api, namespace, options.name, quiet=False)


def watch_to_the_end(api: Api, namespace: str, name: str, quiet: bool) -> int:
    """Follow a pipeline until it ends; the exit code of its end.

    Args:
        api: where it is.
        namespace: its namespace.
        name: its name.
        quiet: say nothing but how it ended.

    Raises:
        CommandError: there is no such pipeline, or it was deleted.
        ApiError: the API server did not tell.
    """
    console = Console(file=sys.stdout)
    display: Display
    if quiet:
        display = Silent()
    elif console.is_terminal and not console.is_dumb_terminal:
        display = Live(console)
    else:
        display = Lines(_print_line)
    changes = follow(OneObject(api, PIPELINES, namespace, name), time.sleep)
    try:
        last = shown_to_the_end(changes, display, time.time)
    finally:
        display.close()
    if last is None:
        raise no_such_pipeline(api, namespace, name)
    if quiet:
        print(line_of(last))
    if last.exit_code is None:
        raise CommandError(
            f"{namespace}/{name} was deleted while it was watched; it was {_state(last)} then",
            FAILED,
        )
    return last.exit_code


def shown_to_the_end(
    changes: Iterator[Seen | Gone | Broken], display: Display, now: Callable[[], float]
) -> PipelineView | None:
    """Show what changes until there is an exit code, or nothing more comes.

    Args:
        changes: of one pipeline.
        display: where it is shown.
        now: seconds since 1970.

    Returns:
        What was shown last; None if there was nothing. Without an exit code it was deleted.
    """
    last: PipelineView | None = None
    for change in changes:
        if isinstance(change, Broken):
            display.trouble(
                f"the API server was lost ({change.message}); the next try is in "
                f"{change.pause_s:.0f} s"
            )
        elif isinstance(change, Seen):
            last = view_of(change.obj, now())
            display.show(last)
            if last.exit_code is not None:
                break
    return last


def _state(view: PipelineView) -> str:
    done = view.snapshot.percent
    return (view.phase or "new") + ("" if done is None else f", {done:.0f}% done")


def _print_line(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
