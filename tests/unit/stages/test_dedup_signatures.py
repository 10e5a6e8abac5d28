"""Signatures estimate the similarity of texts, the same for a text wherever it stands."""

from __future__ import annotations

import random
import re
import statistics
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curator_executor.api import DocumentBatch
from curator_executor.stages.minhash import SIGNATURE_COLUMN, MinHashSignatures, shingles

WORDS = re.compile(r"[^\W_]+")


def word_grams(text: str, ngram: int = 5) -> set[tuple[str, ...]]:
    words = WORDS.findall(text.lower())
    last = max(len(words) - ngram + 1, 1)
    return {tuple(words[at : at + ngram]) for at in range(last)} if words else set()


def jaccard(left: str, right: str) -> float:
    ours, theirs = word_grams(left), word_grams(right)
    return len(ours & theirs) / len(ours | theirs)


def rows_of(texts: list[str], stage: MinHashSignatures | None = None) -> NDArray[np.uint32]:
    column = (stage or MinHashSignatures()).signatures(texts)
    return np.stack([np.frombuffer(value, dtype="<u4") for value in column.to_pylist()])


def estimate(left: str, right: str, stage: MinHashSignatures | None = None) -> float:
    ours, theirs = rows_of([left, right], stage)
    return float((ours == theirs).mean())


def article(seed: int, words: int = 300) -> list[str]:
    rng = random.Random(seed)
    return [f"w{rng.randrange(5000)}" for _ in range(words)]


def with_words_replaced(words: list[str], every: int) -> str:
    return " ".join("changed" if at % every == 0 else word for at, word in enumerate(words))


def test_estimate_is_within_the_standard_error_of_exact_jaccard() -> None:
    """224 pairs of all similarities: no bias, and the spread that 112 hashes have."""
    scaled = []
    for seed in range(28):
        words = article(seed)
        original = " ".join(words)
        for every in (9, 15, 25, 40, 60, 90, 140, 250):
            changed = with_words_replaced(words, every)
            exact = jaccard(original, changed)
            error = estimate(original, changed) - exact
            scaled.append(error / (exact * (1 - exact) / 112) ** 0.5)
    assert abs(statistics.mean(scaled)) < 0.25
    assert 0.8 < statistics.pstdev(scaled) < 1.2
    assert max(map(abs, scaled)) < 4.5


def test_unlike_texts_share_next_to_nothing() -> None:
    rows = rows_of([" ".join(article(seed)) for seed in range(60)])
    shares = [float((ours == theirs).mean()) for ours, theirs in pairwise(rows)]
    assert max(shares) < 0.03


def test_case_punctuation_and_spaces_make_no_difference() -> None:
    plain = "the quick brown fox jumps over the lazy dog every day"
    marked = "  The QUICK, brown\tfox – jumps:\n\nover (the) lazy_dog; every day!"
    assert estimate(plain, marked) == 1.0


def test_order_of_words_makes_a_difference() -> None:
    words = article(1, 50)
    assert estimate(" ".join(words), " ".join(reversed(words))) == 0.0


@given(st.lists(st.text(alphabet="ab c.é漢\n", max_size=60), min_size=1, max_size=12), st.randoms())
def test_signature_of_a_text_does_not_depend_on_its_batch(
    texts: list[str], rng: random.Random
) -> None:
    stage = MinHashSignatures(ngram=3)
    alone = [stage.signatures([text]).to_pylist()[0] for text in texts]
    together = stage.signatures(texts).to_pylist()
    assert together == alone
    order = rng.sample(range(len(texts)), len(texts))
    assert stage.signatures([texts[at] for at in order]).to_pylist() == [alone[at] for at in order]


def test_long_text_beside_short_ones_is_cut_into_no_blocks() -> None:
    """One text of more shingles than are worked on at once."""
    long = " ".join(article(5, 40_000))
    stage = MinHashSignatures()
    alone = stage.signatures([long]).to_pylist()
    assert stage.signatures(["a b", long, "c d"]).to_pylist()[1:2] == alone


def test_text_shorter_than_an_ngram_is_one_shingle() -> None:
    rows = rows_of(["one two", "one two", "one two three", "one", "one two"])
    assert (rows[0] == rows[1]).all()
    assert (rows[0] == rows[4]).all()
    assert (rows[0] == rows[2]).mean() < 0.03
    assert (rows[0] == rows[3]).mean() < 0.03


def test_shingles_never_cross_from_one_text_into_the_next() -> None:
    hashes = np.arange(1, 11, dtype=np.uint64)
    offsets = np.array([0, 2, 2, 7, 10])
    grams, starts = shingles(hashes, offsets, 3)
    assert starts.tolist() == [0, 1, 1, 4, 5]
    alone = [shingles(hashes[a:b], np.array([0, b - a]), 3)[0] for a, b in pairwise(offsets)]
    assert grams.tolist() == np.concatenate(alone).tolist()


@pytest.mark.parametrize("text", ["", "   ", "*** ---", "…!?"])
def test_text_without_a_letter_or_digit_has_no_signature(text: str) -> None:
    column = MinHashSignatures().signatures(["some words", text])
    assert column.is_valid().to_pylist() == [True, False]


def test_characters_tell_texts_without_spaces_apart() -> None:
    text = "".join(chr(0x4E00 + (7 * n * n) % 700) for n in range(300))
    changed = text[:140] + "漢字" + text[142:]
    assert estimate(text, changed) == 0.0  # one long word each
    by_characters = MinHashSignatures(unit="characters")
    assert 0.9 < estimate(text, changed, by_characters) < 1.0


def test_numbers_stay_the_same_from_release_to_release() -> None:
    """Signatures may be stored: a change here makes old ones worthless."""
    row = rows_of(["the quick brown fox jumps over the lazy dog"])[0]
    assert row[:4].tolist() == [3020014085, 1594972774, 1564899127, 1045266448]


def test_column_is_added_and_the_input_left_alone() -> None:
    task = DocumentBatch("docs", pa.table({"id": [1, 2], "text": ["a b", "c"]}))
    task.task_id = "0_3"
    result = MinHashSignatures().process(task)
    assert result.data.column_names == ["id", "text", SIGNATURE_COLUMN]
    assert result.data.schema.field(SIGNATURE_COLUMN).type == pa.binary(448)
    assert result.task_id == "0_3"
    assert task.data.column_names == ["id", "text"]
    with pytest.raises(ValueError, match="have a column '_curator_minhash' already"):
        MinHashSignatures().process(result)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"unit": "word"}, "unit must be one of words, characters, got 'word'; did you mean 'wor"),
        ({"ngram": 0}, "ngram must be a whole number >= 1, got 0"),
        ({"hashes": True}, "hashes must be a whole number >= 1, got True"),
        ({"text_field": ""}, "text_field must be the name of a column"),
    ],
)
def test_wrong_argument_is_named(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        MinHashSignatures(**arguments)  # type: ignore[arg-type]
