"""Whatever a run has to say, what is served stays small and is valid JSON."""

from __future__ import annotations

import json

import pytest

from curator_api.progress import FailureSummary, ProgressSnapshot, StageProgress
from curator_executor.sinks.wire import MOST_BYTES, snapshot_json, to_json
from tests.unit.sinks.runs import snapshot

LONG = "frame: 'é\n\x00' " * 10_000


def failures(count: int, text: str, stage: str = "s") -> list[FailureSummary]:
    return [
        FailureSummary(
            stage=stage,
            error="E",
            message=text,
            count=1,
            task_id="0_1",
            traceback=f"{text}\nthe end",
        )
        for _ in range(count)
    ]


def stages(count: int, fused: bool = True) -> list[StageProgress]:
    names = [
        f"a-stage-with-a-rather-long-name-of-63-characters-in-all-number-{i:03d}"
        for i in range(count)
    ]
    return [
        StageProgress(
            name=name,
            items_per_second=1234.5678901234,
            seconds_per_task=0.123456789012345,
            fused_with=[other for other in names if other != name] if fused else [],
        )
        for name in names
    ]


def served(shot: ProgressSnapshot) -> ProgressSnapshot:
    encoded = snapshot_json(shot)
    assert len(encoded) <= MOST_BYTES
    return ProgressSnapshot.model_validate_json(encoded)


def test_what_fits_is_served_whole() -> None:
    shot = snapshot(0.4, failures=failures(3, "x" * 10_000))
    assert served(shot) == shot


def test_hundred_stages_with_long_messages_fit_and_it_says_that_they_were_cut() -> None:
    shot = served(snapshot(0.4, stages=stages(100), failures=failures(10, LONG), message=LONG))
    assert len(shot.stages) == 100
    assert [stage.name for stage in shot.stages] == [stage.name for stage in stages(100)]
    assert len(shot.failures) == 10
    assert shot.message.endswith("(cut to 64 KiB: texts, fusedWith)")
    assert "characters cut" in shot.failures[0].message


def test_cut_text_keeps_its_beginning_and_its_end() -> None:
    (failure,) = served(snapshot(0.4, failures=failures(1, "begin " + LONG))).failures
    assert failure.traceback.startswith("begin ")
    assert failure.traceback.endswith("the end")


def test_texts_are_cut_no_more_than_they_must_be() -> None:
    (failure,) = served(snapshot(0.4, failures=failures(1, "x" * 100_000))).failures
    assert len(failure.message) > 3_900


@pytest.mark.parametrize(
    "shot",
    [
        snapshot(0.4, stages=stages(1_000)),
        snapshot(0.4, stages=[StageProgress(name=LONG)], failures=failures(10, LONG, stage=LONG)),
    ],
    ids=["a thousand stages", "names without end"],
)
def test_more_than_fits_leaves_out_parts_and_says_so(shot: ProgressSnapshot) -> None:
    assert f"of {len(shot.stages)} stages" in served(shot).message or (
        "1 stages, failures" in served(shot).message
    )


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert json.loads(to_json(snapshot(0.4, message="a\ud800b")))["message"] == "a?b"


def test_keys_are_in_camel_case() -> None:
    assert {"runId", "inputsTotal", "etaS"} <= set(json.loads(snapshot_json(snapshot(0.4))))
