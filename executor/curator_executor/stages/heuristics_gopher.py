"""The quality and repetition rules of MassiveText. Called by `QualityFilter`.

Source of every threshold here: Rae et al. 2021, "Scaling Language Models: Methods, Analysis &
Insights from Training Gopher", appendix A1.1 ("Quality Filtering" and "Repetition Removal").
A rule returns why a text is dropped, or None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from curator_executor.stages.text_view import TextView, repeated_share, share_of

# A1.1, Quality Filtering: "between 50 and 100,000 words".
MIN_WORDS = 50
MAX_WORDS = 100_000
# A1.1, Quality Filtering: mean word length "outside the range of 3 to 10 characters" is removed.
MIN_MEAN_WORD_LENGTH = 3.0
MAX_MEAN_WORD_LENGTH = 10.0
# A1.1, Quality Filtering: symbol-to-word ratio above 0.1, for the hash or the ellipsis.
MAX_SYMBOLS_PER_WORD = 0.1
# A1.1, Quality Filtering: more than 90% of lines start with a bullet point.
MAX_BULLET_LINES = 0.9
# A1.1, Quality Filtering: more than 30% of lines end with an ellipsis.
MAX_ELLIPSIS_LINES = 0.3
# A1.1, Quality Filtering: 80% of words contain at least one alphabetic character.
MIN_ALPHABETIC_WORDS = 0.8
# A1.1, Quality Filtering: at least two of these eight words.
MIN_STOP_WORDS = 2
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
# Table A1: duplicate line fraction, and duplicate line character fraction.
MAX_REPEATED_LINES = 0.30
MAX_REPEATED_LINE_CHARACTERS = 0.20
# Table A1: duplicate paragraph fraction, and duplicate paragraph character fraction.
MAX_REPEATED_PARAGRAPHS = 0.30
MAX_REPEATED_PARAGRAPH_CHARACTERS = 0.20
# Table A1: top 2-, 3- and 4-gram character fraction.
MAX_TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
# Table A1: duplicate 5- to 10-gram character fraction.
MAX_REPEATED_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}

# The paper names no characters; these open list items in running text and Markdown.
BULLETS = ("•", "‣", "◦", "⁃", "▪", "●", "○", "■", "□", "►", "·", "*", "-", "–", "—", "+")  # noqa: RUF001
ELLIPSES = ("...", "…")
_AROUND_WORDS = ".,;:!?\"'()[]{}“”‘’«»…-–—*_#`"  # noqa: RUF001


def word_count(
    view: TextView, *, min_words: int = MIN_WORDS, max_words: int = MAX_WORDS
) -> str | None:
    """Too few or too many words."""
    count = len(view.words)
    if count < min_words:
        return f"fewer than {min_words:,} words"
    if count > max_words:
        return f"more than {max_words:,} words"
    return None


def mean_word_length(
    view: TextView,
    *,
    min_length: float = MIN_MEAN_WORD_LENGTH,
    max_length: float = MAX_MEAN_WORD_LENGTH,
) -> str | None:
    """Words that are too short or too long on average; a text without words passes."""
    if not view.words:
        return None
    mean = view.word_characters / len(view.words)
    if mean < min_length:
        return f"mean word length below {min_length:g}"
    if mean > max_length:
        return f"mean word length above {max_length:g}"
    return None


def symbol_ratio(view: TextView, *, max_ratio: float = MAX_SYMBOLS_PER_WORD) -> str | None:
    """Too many hashes, or too many ellipses, per word."""
    if share_of(view.text.count("#"), len(view.words)) > max_ratio:
        return f"more than {max_ratio:g} hashes per word"
    if share_of(sum(map(view.text.count, ELLIPSES)), len(view.words)) > max_ratio:
        return f"more than {max_ratio:g} ellipses per word"
    return None


def bullet_lines(view: TextView, *, max_share: float = MAX_BULLET_LINES) -> str | None:
    """Too many lines that start with a bullet."""
    count = sum([line.startswith(BULLETS) for line in view.lines])
    if share_of(count, len(view.lines)) > max_share:
        return f"more than {max_share:.0%} of lines start with a bullet"
    return None


def ellipsis_lines(view: TextView, *, max_share: float = MAX_ELLIPSIS_LINES) -> str | None:
    """Too many lines that end with an ellipsis."""
    count = sum([line.endswith(ELLIPSES) for line in view.lines])
    if share_of(count, len(view.lines)) > max_share:
        return f"more than {max_share:.0%} of lines end with an ellipsis"
    return None


def alphabetic_words(view: TextView, *, min_share: float = MIN_ALPHABETIC_WORDS) -> str | None:
    """Too many words without any letter."""
    words = view.words
    without = [word for word in words if not word[0].isalpha()]
    count = len(words) - len(without)
    count += sum([any(map(str.isalpha, word)) for word in without])
    if words and count / len(words) < min_share:
        return f"fewer than {min_share:.0%} of words have a letter"
    return None


def stop_words(
    view: TextView, *, min_count: int = MIN_STOP_WORDS, words: Collection[str] = STOP_WORDS
) -> str | None:
    """Too few different stop words; punctuation around a word does not matter."""
    wanted = frozenset(words)
    present = set(map(str.lower, view.words))
    if len(present & wanted) >= min_count:
        return None
    bare = {word.strip(_AROUND_WORDS) for word in present}
    if len(bare & wanted) >= min_count:
        return None
    return f"fewer than {min_count} stop words"


def repeated_lines(
    view: TextView,
    *,
    max_share: float = MAX_REPEATED_LINES,
    max_characters: float = MAX_REPEATED_LINE_CHARACTERS,
) -> str | None:
    """Too many lines, or characters in lines, repeat an earlier line."""
    lines, characters = repeated_share(view.lines)
    if lines > max_share:
        return f"more than {max_share:.0%} of lines are repeated"
    if characters > max_characters:
        return f"more than {max_characters:.0%} of characters are in repeated lines"
    return None


def repeated_paragraphs(
    view: TextView,
    *,
    max_share: float = MAX_REPEATED_PARAGRAPHS,
    max_characters: float = MAX_REPEATED_PARAGRAPH_CHARACTERS,
) -> str | None:
    """Too many paragraphs, or characters in paragraphs, repeat an earlier paragraph."""
    paragraphs, characters = repeated_share(view.paragraphs)
    if paragraphs > max_share:
        return f"more than {max_share:.0%} of paragraphs are repeated"
    if characters > max_characters:
        return f"more than {max_characters:.0%} of characters are in repeated paragraphs"
    return None


def top_ngrams(view: TextView, *, max_shares: Mapping[int, float] = MAX_TOP_NGRAM) -> str | None:
    """The most frequent n-gram takes up too many characters; white space does not count.

    An n-gram that occurs once is no repetition, else every text of n words would be dropped.
    """
    words = view.words
    for size, limit in sorted(max_shares.items()):
        counts = Counter(_ngrams(words, size))
        most = max(counts.values(), default=0)
        if most < 2:
            return None  # a longer n-gram cannot occur more often
        longest = max(sum(map(len, gram)) for gram, count in counts.items() if count == most)
        if share_of(most * longest, view.word_characters) > limit:
            return f"top {size}-gram has more than {limit:.0%} of characters"
    return None


def repeated_ngrams(
    view: TextView, *, max_shares: Mapping[int, float] = MAX_REPEATED_NGRAMS
) -> str | None:
    """Too many characters are in n-grams that occurred before; overlaps count once."""
    words = view.words
    for size, limit in sorted(max_shares.items()):
        grams = _ngrams(words, size)
        if len(set(grams)) == len(grams):
            return None  # without repeats of this length there are none of a greater one
        if share_of(_repeated_characters(words, grams, size), view.word_characters) > limit:
            return f"more than {limit:.0%} of characters are in repeated {size}-grams"
    return None


def _ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*[words[start:] for start in range(size)], strict=False))


def _repeated_characters(words: Sequence[str], grams: Sequence[tuple[str, ...]], size: int) -> int:
    """Characters of the words that lie in an n-gram seen before."""
    before = [0, *accumulate(map(len, words))]
    seen: set[tuple[str, ...]] = set()
    characters = 0
    covered = 0  # words up to here are counted
    for start, gram in enumerate(grams):
        if gram in seen:
            end = start + size
            characters += before[end] - before[max(start, covered)]
            covered = end
        else:
            seen.add(gram)
    return characters
