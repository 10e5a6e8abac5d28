"""The progress file can be read while it grows and back into the models."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from curator_api.progress import ProgressSnapshot
from curator_executor.sinks.jsonl import JsonLinesSink, read_progress
from tests.unit.sinks.runs import report, snapshot


def test_what_was_published_is_read_back(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "progress.jsonl")
    sink.publish(snapshot(0.1))
    sink.publish(snapshot(0.2))
    sink.close(report())
    lines = list(read_progress(tmp_path / "progress.jsonl"))
    assert lines == [snapshot(0.1), snapshot(0.2), report()]


def test_line_is_there_as_soon_as_it_is_published(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "progress.jsonl")
    sink.publish(snapshot(0.1))
    assert list(read_progress(tmp_path / "progress.jsonl")) == [snapshot(0.1)]
    sink.stop()


def test_text_that_utf8_has_no_form_for_does_not_end_the_history(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "progress.jsonl")
    sink.publish(snapshot(0.1, message="half: \ud800"))
    sink.stop()
    [line] = read_progress(tmp_path / "progress.jsonl")
    assert isinstance(line, ProgressSnapshot)
    assert line.message == "half: ?"


def test_line_that_does_not_fit_on_the_disk_is_an_error() -> None:
    sink = JsonLinesSink("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        sink.publish(snapshot(0.1))
    sink.stop()


def test_line_of_which_only_a_part_was_taken_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AlmostFull(io.BytesIO):
        def write(self, line: Any) -> int:
            return super().write(line[:10])

    sink = JsonLinesSink(tmp_path / "progress.jsonl")
    sink.stop()
    monkeypatch.setattr(sink, "_file", AlmostFull())
    with pytest.raises(OSError, match="No space left"):
        sink.publish(snapshot(0.1))


def test_older_file_is_replaced(tmp_path: Path) -> None:
    for part in (0.1, 0.2):
        sink = JsonLinesSink(tmp_path / "progress.jsonl")
        sink.publish(snapshot(part))
        sink.stop()
    assert list(read_progress(tmp_path / "progress.jsonl")) == [snapshot(0.2)]


def test_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JsonLinesSink(tmp_path / "missing" / "progress.jsonl")


def test_line_that_is_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(snapshot(0.1).model_dump_json(by_alias=True) + "\n{}\n")
    with pytest.raises(ValueError, match=r"line 2 is not a progress line"):
        list(read_progress(path))
