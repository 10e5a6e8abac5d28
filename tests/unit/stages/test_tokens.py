"""`TokenCount` against the library's own count, without the network."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import pytest
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from curator_executor.stages import tokens
from curator_executor.stages.tokens import TokenCount, vocabulary_path
from tests.unit.stages.batches import batch

TEXTS = ["", "Hello world", "Ein längerer Satz, mit Umlauten: äöü.", "委员会", "a\n\n\tb <s> </s>"]


@pytest.fixture(scope="module")
def stage() -> TokenCount:
    made = TokenCount()
    made.setup()
    return made


def test_count_is_the_number_of_the_librarys_tokens(stage: TokenCount) -> None:
    library = Tekkenizer.from_file(vocabulary_path("tekken-240911"))
    expected = [len(library.encode(text, bos=False, eos=False)) for text in TEXTS]
    task = batch(TEXTS)
    out = stage.process(task)
    assert out.data.column("token_count").to_pylist() == expected
    assert expected[0] == 0
    assert stage._consume_custom_metrics() == {"tokens": sum(expected)}
    assert "token_count" not in task.data.column_names


def test_tokens_of_several_tasks_add_up(stage: TokenCount) -> None:
    stage.process_batch([batch(["Hello world"]), batch(["Hello world"])])
    assert stage._consume_custom_metrics() == {"tokens": 4}


def test_column_has_the_name_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "load_counter", lambda _tokenizer: len)
    out = TokenCount(column="n_tokens").process(batch(["abc"]))
    assert out.data.column("n_tokens").to_pylist() == [3]


def test_vocabularies_are_checked_before_the_run(tmp_path: Path) -> None:
    for name in tokens.TOKENIZERS:
        TokenCount(name).check()
    with pytest.raises(FileNotFoundError, match=r"tokenizer .*own\.json: no file"):
        TokenCount(str(tmp_path / "own.json")).check()


def test_loaded_vocabulary_does_not_travel_to_a_worker(stage: TokenCount) -> None:
    assert len(cloudpickle.dumps(stage)) < 10_000


def test_bad_arguments_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"tokenizer must be one of .*did you mean 'tekken-240911'"
    ):
        TokenCount("tekken-24091")
    with pytest.raises(ValueError, match="column must be the name of a column"):
        TokenCount(column="")
