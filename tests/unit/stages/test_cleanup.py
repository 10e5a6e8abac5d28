"""Stages that change texts."""

from __future__ import annotations

import cloudpickle
import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_executor.stages.cleanup import C4Lines, FixUnicode, Modify, NormalizeWhitespace
from tests.unit.stages.batches import batch, dropped, texts_of
from tests.unit.stages.batches import given as given_batch


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("schÃ¶n", "schön"),
        ("&lt;b&gt; &amp; co", "<b> & co"),
        ("a\x00b\x1b[31mc", "abc"),
        ("e\u0301", "é"),
        ("plain ASCII stays", "plain ASCII stays"),
        ("“curly” stays", "“curly” stays"),
    ],
)
def test_unicode_is_mended(broken: str, mended: str) -> None:
    assert FixUnicode().change(broken) == mended


def test_quotes_are_straightened_only_if_asked_to() -> None:
    assert FixUnicode(straight_quotes=True).change("“a” b’s") == '"a" b\'s'  # noqa: RUF001
    assert FixUnicode(normalization="none").change("e\u0301") == "e\u0301"


@given(st.text())
def test_text_that_is_not_looked_at_is_one_that_ftfy_leaves_alone(text: str) -> None:
    config = ftfy.TextFixerConfig(normalization="NFC", uncurl_quotes=False)
    assert FixUnicode().change(text) == ftfy.fix_text(text, config)


@pytest.mark.parametrize(
    ("untidy", "tidy"),
    [
        ("a \t b\u00a0 c", "a b c"),
        ("  a  \r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\n\n\n\nb\n \n \nc", "a\n\nb\n\nc"),
        ("\n\n a \n\n", "a"),
    ],
)
def test_white_space_is_tidied(untidy: str, tidy: str) -> None:
    assert NormalizeWhitespace().change(untidy) == tidy


def test_blank_lines_and_indents_stay_as_asked() -> None:
    assert NormalizeWhitespace(max_blank_lines=0).change("a\n\n\nb") == "a\nb"
    assert NormalizeWhitespace(max_blank_lines=2).change("a\n\n\n\nb") == "a\n\n\nb"
    code = NormalizeWhitespace(keep_indent=True).change("\nif x:\n    y  =  1\n")
    assert code == "if x:\n    y = 1"


@given(st.text(alphabet=" \t\n\r\u2028ab"))
def test_tidying_twice_is_tidying_once(text: str) -> None:
    once = NormalizeWhitespace().change(text)
    assert NormalizeWhitespace().change(once) == once


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("This line stays.", True),
        ("“So does this one.”", True),
        ("Is this one long?", True),
        ("Two words.", False),
        ("no mark at the end", False),
        ("this was cut off...", False),
        ("Please enable Javascript to go on.", False),
        ("This site uses cookies for that.", False),
    ],
)
def test_c4_keeps_whole_sentences(line: str, stays: bool) -> None:
    assert C4Lines().change(f"  {line}  ") == (line if stays else "")


def test_document_of_which_nothing_is_left_is_dropped_and_counted() -> None:
    stage = C4Lines()
    out = stage.process(batch(["Menu", "This one line stays.\nMenu", ""]))
    assert texts_of(out) == ["This one line stays.", ""]
    assert dropped(stage) == {"nothing left of the text": 1}
    assert stage._consume_custom_metrics() == {"documents_changed": 2}


def test_changed_documents_add_up_over_the_tasks_of_a_batch() -> None:
    stage = NormalizeWhitespace()
    stage.process_batch([batch(["a  b"]), batch(["a  b", "c"])])
    assert stage._consume_custom_metrics() == {"documents_changed": 2}


def test_input_task_is_left_as_it_was() -> None:
    task = batch(["a  b"], n=[1])
    out = NormalizeWhitespace().process(task)
    assert texts_of(task) == ["a  b"]
    assert given_batch(out).data.to_pylist() == [{"id": "d0", "text": "a b", "n": 1}]


def shout(text: str) -> str:
    return text.upper()


def test_functions_are_applied_in_order() -> None:
    stage = Modify([shout, "builtins:str.strip"])
    assert texts_of(stage.process(batch([" a "]))) == ["A"]


def test_function_that_returns_no_text_is_named() -> None:
    with pytest.raises(TypeError, match="Modify: split returned list, wanted text") as caught:
        Modify("builtins:str.split").process(batch(["a"]))
    assert caught.value.__notes__ == ["stage modify: document 'd0'"]


def test_loaded_library_does_not_travel_to_a_worker() -> None:
    stage = FixUnicode()
    stage.setup()
    again = cloudpickle.loads(cloudpickle.dumps(stage))
    assert "_fix" not in again.__dict__
    assert again.change("schÃ¶n") == "schön"


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"normalization must be one of NFC, NFKC, .*got 'nfc'"):
        FixUnicode(normalization="nfc")
    with pytest.raises(ValueError, match="max_blank_lines must be a whole number >= 0, got -1"):
        NormalizeWhitespace(max_blank_lines=-1)
    with pytest.raises(ValueError, match="functions must name at least one"):
        Modify([])
    with pytest.raises(ValueError, match="functions must be a function or"):
        Modify("shout")


def test_kept_documents_are_counted_beside_dropped_ones() -> None:
    stage = NormalizeWhitespace()
    stage.process(batch(["some text", " \t "]))
    seen = stage._consume_observations()
    assert seen is not None
    assert (seen.kept, sum(seen.dropped.values())) == (1, 1)
