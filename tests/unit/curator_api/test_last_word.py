"""The line with which a driver ends its log: written, found again, and never mistaken."""

from __future__ import annotations

import json

import pytest

from curator_api.last_word import MARK, taken_out, written
from curator_api.progress import ProgressSnapshot, RunState


def snapshot(state: RunState = "Failed", message: str = "") -> ProgressSnapshot:
    return ProgressSnapshot(
        run_id="r", pipeline="p", state=state, time=1.0, elapsed_s=2.0, message=message
    )


def line(snapshot: ProgressSnapshot) -> str:
    return written(snapshot.model_dump_json(by_alias=True))


@pytest.mark.parametrize("state", ["Succeeded", "Failed", "Cancelled"])
def test_what_is_written_is_found_in_the_log(state: RunState) -> None:
    assert taken_out(f"one\n{line(snapshot(state))}\ntwo\n") == ("one\ntwo\n", snapshot(state))


@pytest.mark.parametrize("message", ["a\nb\rc\x85d\u2028e", "ü 🐍", "\x1b[31mred", '"{}\\'])
def test_it_is_one_line_of_ascii_whatever_the_message(message: str) -> None:
    text = line(snapshot(message=message))
    assert text.isascii()
    assert text.splitlines() == [text]
    assert taken_out(text) == ("", snapshot(message=message))


def test_it_is_found_behind_what_broke_off_without_an_end_of_line() -> None:
    assert taken_out(f"50 %|███  {line(snapshot())}\r\n") == ("50 %|███  \r\n", snapshot())


def test_of_two_runs_in_one_log_the_later_counts() -> None:
    log = f"{line(snapshot(message='first'))}\n{line(snapshot(message='second'))}\n"
    rest, found = taken_out(log)
    assert found == snapshot(message="second")
    assert rest == f"{line(snapshot(message='first'))}\n"


def test_a_message_that_quotes_another_runs_last_word_does_not_hide_its_own() -> None:
    last = snapshot(message=f"it said: {line(snapshot(message='theirs'))}")
    assert taken_out(line(last)) == ("", last)


def test_what_a_later_version_adds_is_left_out() -> None:
    fields = json.loads(snapshot().model_dump_json(by_alias=True)) | {"mood": "fine"}
    assert taken_out(written(json.dumps(fields)))[1] == snapshot()


@pytest.mark.parametrize(
    "log",
    [
        "",
        "nothing of the kind\n",
        MARK,
        f"{MARK}\n",
        f"{MARK}null",
        f"{MARK}[]",
        f'{MARK}{{"state": "Failed"}}',
        f"{MARK}{'[' * 100_000}",
        line(snapshot())[:-1],
        line(snapshot("Running")),
    ],
    ids=lambda log: log[:30],
)
def test_all_else_is_a_log_without_a_last_word(log: str) -> None:
    assert taken_out(log) == (log, None)
