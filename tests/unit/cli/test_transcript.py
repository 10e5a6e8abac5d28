"""What is printed and logged is copied, bounded, and still goes where it went before."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console

from curator_executor.cli.logs import start_logging
from curator_executor.cli.transcript import Transcript
from curator_executor.sinks.console import LiveSink
from tests.unit.sinks.runs import snapshot


def saved(transcript: Transcript, directory: Path) -> str:
    transcript.save(directory / "log")
    return (directory / "log").read_text()


def test_prints_and_log_lines_are_copied_and_still_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transcript = Transcript(tmp_path)
    start_logging("info", verbose=False)
    with transcript.recording():
        print("printed")
        print("said", file=sys.stderr)
        logging.getLogger("curator_executor.run").warning("logged")
    print("after")
    text = saved(transcript, tmp_path)
    assert text.startswith("printed\nsaid\n")
    assert text.endswith("WARNING logged\n")
    captured = capsys.readouterr()
    assert captured.out == "printed\nafter\n"
    assert "said\n" in captured.err


def test_colours_are_left_out_and_any_text_is_taken(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path)
    transcript.write("\x1b[36m(worker)\x1b[0m café \ud800\n")
    assert saved(transcript, tmp_path) == "(worker) café ?\n"


def test_long_log_keeps_its_beginning_and_its_end_and_says_what_is_left_out(
    tmp_path: Path,
) -> None:
    transcript = Transcript(tmp_path, part_bytes=100)
    for number in range(100):
        transcript.write(f"line {number:03d}\n")
    lines = saved(transcript, tmp_path).splitlines()
    kept = [line for line in lines if line.startswith("line")]
    assert lines[0] == "line 000"
    assert lines[-1] == "line 099"
    assert 20 <= len(kept) < 40
    [mark] = [line for line in lines if "left out" in line]
    assert mark == f"… {9 * (100 - len(kept))} bytes left out here …"


def test_log_that_fits_is_whole(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path, part_bytes=100)
    text = "".join(f"line {number:03d}\n" for number in range(20))
    for line in text.splitlines(keepends=True):
        transcript.write(line)
    assert saved(transcript, tmp_path) == text


def test_writing_after_the_end_is_no_error(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path)
    transcript.save(tmp_path / "log")
    transcript.write("late")
    assert (tmp_path / "log").read_text() == ""


def test_stream_keeps_everything_else_that_it_can(tmp_path: Path) -> None:
    stream = io.StringIO()
    tee = Transcript(tmp_path).over(stream)
    assert tee.write("abc") == 3
    tee.writelines(["d", "e"])
    assert not tee.isatty()
    assert stream.getvalue() == "abcde"


def test_live_display_stays_out_of_the_log_and_what_passes_above_it_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    transcript = Transcript(tmp_path)
    console = Console(file=terminal, force_terminal=True, width=100)
    sink = LiveSink(console, auto_refresh=False, over=transcript.over)
    with transcript.recording():
        sink.publish(snapshot(0.4))
        print("from a stage")
        print("to standard error", file=sys.stderr)
        sink.publish(snapshot(0.5))
        sink.stop()
        print("at the end")
    assert sys.stdout is terminal
    assert saved(transcript, tmp_path) == "from a stage\nto standard error\nat the end\n"
    assert "language_id" in terminal.getvalue()
    assert "from a stage" in terminal.getvalue()
