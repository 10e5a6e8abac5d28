"""A sink that breaks does not end the run."""

from __future__ import annotations

import logging

import pytest

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.sinks.guarded import GuardedSink
from tests.unit.sinks.runs import report, snapshot


class FullDisk:
    """A sink that fails and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def publish(self, shot: ProgressSnapshot) -> None:
        self.calls.append("publish")
        raise OSError("no space left")

    def close(self, end: RunReport) -> None:
        self.calls.append("close")
        raise OSError("no space left")


def test_broken_sink_is_logged_once_and_asked_no_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "curator_executor.sinks")
    broken = FullDisk()
    sink = GuardedSink(broken, "progress file p.jsonl")
    for part in (0.1, 0.2, 0.3):
        sink.publish(snapshot(part))
    sink.close(report())
    assert broken.calls == ["publish", "close"]
    [said] = [record.message for record in caplog.records]
    assert said.startswith("progress file p.jsonl failed; no more progress goes there")


def test_cancellation_passes_through() -> None:
    class Interrupted(FullDisk):
        def publish(self, shot: ProgressSnapshot) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GuardedSink(Interrupted(), "display").publish(snapshot(0.1))
