"""Every Gopher rule at its threshold, on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_executor.stages import heuristics_gopher as gopher
from curator_executor.stages.rules import RULES
from curator_executor.stages.text_view import TextView


def numbered(count: int, start: int = 0) -> list[str]:
    """Different words of four characters."""
    return [f"w{n:03}" for n in range(start, start + count)]


def text(words: list[str]) -> TextView:
    return TextView(" ".join(words))


def lined(*lines: str) -> TextView:
    return TextView("\n".join(lines))


# (what passes, what is dropped one step further, reason)
CASES = {
    "word_count least": (
        gopher.word_count(text(numbered(50))),
        gopher.word_count(text(numbered(49))),
        "fewer than 50 words",
    ),
    "word_count most": (
        gopher.word_count(text(["a"] * 100_000)),
        gopher.word_count(text(["a"] * 100_001)),
        "more than 100,000 words",
    ),
    "mean_word_length least": (
        gopher.mean_word_length(text(["ab", "abcd"])),
        gopher.mean_word_length(text(["ab", "abc"])),
        "mean word length below 3",
    ),
    "mean_word_length most": (
        gopher.mean_word_length(text(["a" * 9, "a" * 11])),
        gopher.mean_word_length(text(["a" * 10, "a" * 11])),
        "mean word length above 10",
    ),
    "symbol_ratio hashes": (
        gopher.symbol_ratio(text(["#", *numbered(9)])),
        gopher.symbol_ratio(text(["##", *numbered(9)])),
        "more than 0.1 hashes per word",
    ),
    "symbol_ratio ellipses": (
        gopher.symbol_ratio(text(["no...", *numbered(9)])),
        gopher.symbol_ratio(text(["no...", "yes…", *numbered(8)])),
        "more than 0.1 ellipses per word",
    ),
    "bullet_lines": (
        gopher.bullet_lines(lined(*["• item"] * 9, "line")),
        gopher.bullet_lines(lined(*["- item"] * 10, "* item", "line")),
        "more than 90% of lines start with a bullet",
    ),
    "ellipsis_lines": (
        gopher.ellipsis_lines(lined(*["more ..."] * 3, *["line"] * 7)),
        gopher.ellipsis_lines(lined(*["more…"] * 4, *["line"] * 6)),
        "more than 30% of lines end with an ellipsis",
    ),
    "alphabetic_words": (
        gopher.alphabetic_words(text([*["7up"] * 8, "1", "2"])),
        gopher.alphabetic_words(text([*["7up"] * 7, "1", "2", "--"])),
        "fewer than 80% of words have a letter",
    ),
    "stop_words": (
        gopher.stop_words(text(["The", "cat", '"and"', "dog"])),
        gopher.stop_words(text(["the", "The", "cats", "theory"])),
        "fewer than 2 stop words",
    ),
    "repeated_lines lines": (
        gopher.repeated_lines(lined("x", "x", "x", "x", *numbered(6))),
        gopher.repeated_lines(lined("x", "x", "x", "x", *numbered(5))),
        "more than 30% of lines are repeated",
    ),
    "repeated_lines characters": (
        gopher.repeated_lines(lined("a" * 20, "a" * 20, "b" * 59, "c")),
        gopher.repeated_lines(lined("a" * 20, "a" * 20, "b" * 58, "c")),
        "more than 20% of characters are in repeated lines",
    ),
    "repeated_paragraphs paragraphs": (
        gopher.repeated_paragraphs(TextView("\n\n".join(["x"] * 4 + numbered(6)))),
        gopher.repeated_paragraphs(TextView("\n \n".join(["x"] * 4 + numbered(5)))),
        "more than 30% of paragraphs are repeated",
    ),
    "repeated_paragraphs characters": (
        gopher.repeated_paragraphs(TextView("\n\n".join(["a" * 20, "a" * 20, "b" * 59, "c"]))),
        gopher.repeated_paragraphs(TextView("\n\n".join(["a" * 20, "a" * 20, "b" * 58, "c"]))),
        "more than 20% of characters are in repeated paragraphs",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rule_passes_at_its_threshold_and_drops_beyond(case: str) -> None:
    passed, dropped, reason = CASES[case]
    assert (passed, dropped) == (None, reason)


def with_repeats(size: int, repeats: int, others: int) -> TextView:
    """`size` words once and then `repeats` times again, apart from each other, among others."""
    gram = [f"g{n:03}" for n in range(size)]
    words = list(gram)
    for turn in range(repeats):
        words += [f"s{turn:03}", *gram]
    return text([*words, *numbered(others)])


@pytest.mark.parametrize(("size", "limit"), [(2, 0.20), (3, 0.18), (4, 0.16)])
def test_top_ngram_passes_at_its_share_of_characters_and_is_dropped_above(
    size: int, limit: float
) -> None:
    only = {size: limit}
    # All words have four characters. Of 100 words, as many as the limit allows are in the n-gram.
    repeats = round(limit * 100) // size - 1
    rest = 100 - size - repeats * (size + 1)
    at, above = (with_repeats(size, repeats, others) for others in (rest, rest - 1))
    assert len(at.words) == 100
    assert gopher.top_ngrams(at, max_shares=only) is None
    assert gopher.top_ngrams(above, max_shares=only) == (
        f"top {size}-gram has more than {limit:.0%} of characters"
    )


@pytest.mark.parametrize("size", range(5, 11))
def test_repeated_ngrams_pass_at_their_share_of_characters_and_are_dropped_above(
    size: int,
) -> None:
    limit = gopher.MAX_REPEATED_NGRAMS[size]
    # Of 100 times n words, as many times n words as the limit allows are repeats.
    repeats = round(limit * 100)
    total = size * 100
    rest = total - size - repeats * (size + 1)
    only = {size: limit}
    assert len(with_repeats(size, repeats, rest).words) == total
    assert gopher.repeated_ngrams(with_repeats(size, repeats, rest), max_shares=only) is None
    assert gopher.repeated_ngrams(with_repeats(size, repeats, rest - 1), max_shares=only) == (
        f"more than {limit:.0%} of characters are in repeated {size}-grams"
    )


def test_thresholds_are_those_of_the_paper() -> None:
    assert gopher.MAX_TOP_NGRAM == {2: 0.20, 3: 0.18, 4: 0.16}
    assert gopher.MAX_REPEATED_NGRAMS == {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    assert set(gopher.STOP_WORDS) == {"the", "be", "to", "of", "and", "that", "have", "with"}


def test_overlapping_repeats_count_each_word_once() -> None:
    # "a" six times: 2-grams from the second on are repeats and cover words 2 to 6.
    words = ["aaaa"] * 6
    grams = gopher._ngrams(words, 2)
    assert gopher._repeated_characters(words, grams, 2) == 5 * 4


def naive_repeated_characters(words: list[str], size: int) -> int:
    covered = set()
    grams = [tuple(words[n : n + size]) for n in range(len(words) - size + 1)]
    for position, gram in enumerate(grams):
        if gram in grams[:position]:
            covered |= set(range(position, position + size))
    return sum(len(words[n]) for n in covered)


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=25), st.integers(2, 6))
def test_repeated_characters_agree_with_counting_word_by_word(words: list[str], size: int) -> None:
    grams = gopher._ngrams(words, size)
    found = gopher._repeated_characters(words, grams, size)
    assert found == naive_repeated_characters(words, size)


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), max_size=40))
def test_stopping_early_changes_no_verdict(words: list[str]) -> None:
    view = text(words)
    each = [
        gopher.repeated_ngrams(view, max_shares={size: limit})
        for size, limit in gopher.MAX_REPEATED_NGRAMS.items()
    ]
    assert gopher.repeated_ngrams(view) == next((e for e in each if e), None)


def test_ngram_that_occurs_once_is_no_repetition() -> None:
    assert gopher.top_ngrams(text(numbered(4))) is None


@given(st.text())
def test_rules_take_any_text(some: str) -> None:
    for rule in RULES.values():
        assert rule(TextView(some)) is None or isinstance(rule(TextView(some)), str)
