"""`curator watch`: what is shown of a stream, where, and how the command ends."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from curator_executor.cli.kube import watching
from curator_executor.cli.kube.following import Broken, Gone, Seen
from curator_executor.cli.kube.pipeline_view import view_of
from curator_executor.cli.kube.watching import Lines, Live, shown_to_the_end, watch_to_the_end
from curator_executor.cli.outcome import CommandError
from curator_executor.sinks.console import LiveSink, View
from tests.unit.cli.kube.resources import NOW, MadeUpApi, ended, resource, running

Change = Seen | Gone | Broken
END = Seen(resource(ended("Succeeded", "Complete", "DeadLetters", "done, 3 tasks failed")))


def seen(done: int) -> Seen:
    return Seen(resource(running(done)))


def lines_of(*changes: Change) -> list[str]:
    said: list[str] = []
    shown_to_the_end(iter(changes), Lines(said.append), lambda: NOW)
    return said


def test_each_visible_change_is_a_line_and_nothing_else_is() -> None:
    said = lines_of(seen(165), seen(165), seen(166), END)
    assert [line.split("inputs=")[1].split("/")[0] for line in said] == ["165", "166", "1000"]
    assert said[-1].endswith("— done, 3 tasks failed")


def test_a_lost_stream_is_said_with_the_time_of_the_next_try() -> None:
    assert lines_of(seen(165), Broken("connection reset", 4.0))[1] == (
        "the API server was lost (connection reset); the next try is in 4 s"
    )


def test_what_comes_after_the_end_is_not_waited_for() -> None:
    def changes() -> Iterator[Change]:
        yield END
        raise AssertionError("the stream was read on")

    last = shown_to_the_end(changes(), Lines(lambda line: None), lambda: NOW)
    assert last is not None
    assert last.exit_code == 3


def a_stream(monkeypatch: pytest.MonkeyPatch, *changes: Change) -> None:
    monkeypatch.setattr(watching, "follow", lambda *_: iter(changes))


def test_the_command_ends_with_the_code_of_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_stream(monkeypatch, seen(165), END)
    assert watch_to_the_end(MadeUpApi(), "team-a", "clean-web", quiet=False) == 3
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_waiting_says_how_it_ended_and_nothing_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_stream(monkeypatch, seen(165), END)
    assert watch_to_the_end(MadeUpApi(), "team-a", "clean-web", quiet=True) == 3
    (line,) = capsys.readouterr().out.splitlines()
    assert "phase=Succeeded" in line


def test_a_pipeline_that_is_deleted_meanwhile_is_an_error_that_says_how_far_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_stream(monkeypatch, seen(165), Gone())
    with pytest.raises(
        CommandError, match="deleted while it was watched; it was Running, 16%"
    ) as e:
        watch_to_the_end(MadeUpApi(), "team-a", "clean-web", quiet=False)
    assert e.value.code == 1


def test_a_name_that_is_not_there_is_an_error_with_the_near_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_stream(monkeypatch)
    with pytest.raises(CommandError, match="Did you mean clean-web") as caught:
        watch_to_the_end(MadeUpApi(resource()), "team-a", "clean-wep", quiet=False)
    assert caught.value.code == 2


def a_terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def live(console: Console, now: Callable[[], float] = lambda: 0.0) -> Live:
    def sink(at: Console, view: View) -> LiveSink:
        return LiveSink(at, now, auto_refresh=False, view=view)

    return Live(console, sink, now)


def test_on_a_terminal_the_last_view_stays_on_the_screen() -> None:
    console = a_terminal()
    shown_to_the_end(iter([seen(165), END]), display := live(console), lambda: NOW)
    display.close()
    left = text_of(console).rsplit("\x1b", 1)[1]
    assert "clean-web  Succeeded  45s" in left
    assert "done, 3 tasks failed" in left
    assert left.count("embed") == 1 + left.count("Bottleneck")


def test_what_is_left_of_an_interrupted_watch_tells_the_time_of_the_interruption() -> None:
    console = a_terminal()
    moments = [0.0]
    display = live(console, lambda: moments[0])
    display.show(view_of(seen(165).obj, NOW))
    moments[0] = 7.0
    display.close()
    assert "clean-web  Running  1m07s" in text_of(console).rsplit("\x1b", 1)[1]


def test_on_a_terminal_a_lost_stream_is_shown_below_the_last_figures_for_a_while() -> None:
    console = a_terminal()
    display = live(console)
    lost = Broken("connection reset", 4.0)
    shown_to_the_end(iter([seen(165), lost, lost]), display, lambda: NOW)
    display.close()
    left = text_of(console).rsplit("\x1b", 1)[1]
    assert "165 of 1,000 inputs" in left
    assert left.count("the API server was lost (connection reset)") == 1
    shown_to_the_end(iter([seen(166)]), display, lambda: NOW)
    display.close()
    assert "was lost" not in text_of(console).rsplit("166 of", 1)[1]
