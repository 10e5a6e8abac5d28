"""`QualityFilter` and `Filter`: which documents stay, and what is said about the others."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest

from curator_executor.stages.filters import Filter, QualityFilter
from curator_executor.stages.rules import RULE_SETS, RULES, compile_rules
from tests.unit.stages.batches import batch, dropped, given, texts_of

GOOD = " ".join(f"the word{n} and" for n in range(40))
SHORT = "the words and of"


def test_each_dropped_document_is_counted_under_the_first_reason_with_a_sample() -> None:
    stage = QualityFilter("gopher_quality")
    out = stage.process(batch([GOOD, SHORT, "## " * 60]))
    assert texts_of(out) == [GOOD]
    seen = stage._consume_observations()
    assert seen is not None
    assert seen.kept == 1
    assert seen.kept_samples == [GOOD[:400]]
    assert seen.dropped == {"fewer than 50 words": 1, "mean word length below 3": 1}
    assert seen.dropped_samples[0] == ("fewer than 50 words", SHORT)


def test_batch_without_survivors_is_filtered_out() -> None:
    assert QualityFilter("gopher").process(batch([SHORT, SHORT])) is None


def test_input_task_is_left_as_it_was_and_the_output_inherits() -> None:
    task = batch([GOOD, SHORT], n=[1, 2])
    before = copy.copy(task.data)
    out = given(QualityFilter("word_count").process(task))
    assert task.data.equals(before)
    assert out is not task
    assert out.data.to_pylist() == [{"id": "d0", "text": GOOD, "n": 1}]
    assert (out.dataset_name, out._metadata) == ("tests", {"source_files": ["f"]})
    assert out._metadata is not task._metadata


def test_frames_are_taken_too() -> None:
    task = batch([GOOD, SHORT])
    task.data = task.data.to_pandas()
    assert texts_of(QualityFilter("word_count").process(task)) == [GOOD]


def test_every_set_names_rules_that_exist() -> None:
    assert {rule for names in RULE_SETS.values() for rule in names} == set(RULES)


def test_dict_sets_thresholds_and_replaces_the_rule_of_a_set() -> None:
    stage = QualityFilter(["gopher_quality", {"rule": "word_count", "min_words": 4}])
    assert texts_of(stage.process(batch([SHORT]))) == [SHORT]
    assert len(compile_rules("x", ["gopher_quality", "word_count"])) == 7


def test_thresholds_of_a_manifest_may_be_text_keys_and_lists() -> None:
    stage = QualityFilter(
        [
            {"rule": "top_ngrams", "max_shares": {"2": 0.9}},
            {"rule": "stop_words", "words": ["und", "der"], "min_count": 1},
        ]
    )
    assert texts_of(stage.process(batch(["der Hund", "the dog"]))) == ["der Hund"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("goper", r"rules must be one of .*got 'goper'; did you mean 'gopher'\?"),
        ([], "rules must be a name, a dict or a list"),
        ([{"min_words": 3}], "a dict needs the key 'rule'"),
        ([{"rule": "word_cont"}], "did you mean 'word_count'"),
        (
            [{"rule": "word_count", "min_word": 3}],
            "unknown key 'min_word'; did you mean 'min_words'",
        ),
        ([{"rule": "word_count", "min_words": "3"}], "min_words must be a number >= 0, got '3'"),
        ([{"rule": "top_ngrams", "max_shares": 0.2}], "must map n-gram sizes to shares, got 0.2"),
        ([{"rule": "stop_words", "words": "the"}], "words must be a list of texts, got 'the'"),
    ],
)
def test_bad_rule_is_named_with_the_nearest_right_one(rules: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QualityFilter(rules)


def test_missing_text_column_names_those_that_are_there() -> None:
    with pytest.raises(ValueError, match=r"no column 'body'; their columns: id, text"):
        QualityFilter("gopher", text_field="body").process(batch(["a"]))


def test_document_without_text_is_named() -> None:
    with pytest.raises(ValueError, match=r"document 'd1': column 'text' holds NoneType"):
        QualityFilter("gopher").process(batch(["a", None]))


def test_stage_survives_copying_and_the_way_to_a_worker() -> None:
    stage = QualityFilter(["gopher", {"rule": "word_count", "min_words": 1}])
    for again in (stage.with_(name="other"), cloudpickle.loads(cloudpickle.dumps(stage))):
        assert len(again._compiled) == len(stage._compiled)


def is_polite(text: str) -> bool:
    if text == "boom":
        raise KeyError("boom")
    return "please" in text


def test_own_function_keeps_what_it_is_true_of() -> None:
    stage = Filter(keep=is_polite, reason="rude")
    assert texts_of(stage.process(batch(["please go", "go"]))) == ["please go"]
    assert dropped(stage) == {"rude": 1}


def test_own_function_may_be_named_by_its_import_path() -> None:
    stage = Filter(keep="builtins:str.isupper")
    assert texts_of(stage.process(batch(["LOUD", "soft"]))) == ["LOUD"]
    assert dropped(stage) == {"not builtins:str.isupper": 1}


def test_exception_of_an_own_function_stays_itself_and_names_the_document() -> None:
    with pytest.raises(KeyError) as caught:
        Filter(keep=is_polite).process(batch(["please", "boom"]))
    assert caught.value.__notes__ == ["stage filter: document 'd1'"]
    assert pickle.loads(pickle.dumps(caught.value)).args == ("boom",)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("nowhere_at_all:f", "cannot import nowhere_at_all"),
        ("os.path:bsename", r"os\.path has no bsename; did you mean 'basename'\?"),
        ("os:sep", "os:sep is a str, wanted a function"),
        ("", "keep must be a function or 'package.module:function', got ''"),
    ],
)
def test_function_that_cannot_be_had_is_refused_when_the_stage_is_built(
    keep: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Filter(keep=keep)


def test_chunked_table_is_one_table() -> None:
    task = batch([GOOD])
    task.data = pa.concat_tables([task.data, batch([SHORT]).data, task.data])
    assert texts_of(QualityFilter("word_count").process(task)) == [GOOD, GOOD]
