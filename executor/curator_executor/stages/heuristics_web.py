"""The page rules of C4 and the rules that FineWeb added. Called by `QualityFilter`.

C4: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", section 2.2. Its rules about single lines change a text, so they are a stage of their
own (`C4Lines`); its list of bad words is not included.
FineWeb: Penedo et al. 2024, "The FineWeb Datasets", section 3.6.
A rule returns why a text is dropped, or None.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from curator_executor.stages.text_view import TextView, repeated_share, share_of

# C4, section 2.2. Two variants are in use: pages of at least 5 sentences with lines of at least 3
# words, and 3 sentences with 5 words (the released code).
MIN_SENTENCES = 5
# FineWeb, section 3.6: fraction of lines ending with punctuation at most 0.12.
MAX_POOR_PUNCTUATION = 0.12
# FineWeb, section 3.6: fraction of characters in duplicated lines at least 0.1.
MIN_BAD_REPEATED_CHARACTERS = 0.1
# FineWeb, section 3.6: fraction of lines shorter than 30 characters at least 0.67.
SHORT_LINE_CHARACTERS = 30
MIN_BAD_SHORT_LINES = 0.67

# FineWeb names no characters; these end sentences in the larger scripts, or close a quotation.
END_MARKS = (".", "!", "?", "…", '"', "'", "”", "’", "»", "。", "！", "？", "।", "؟", "۔")  # noqa: RUF001
# C4 splits sentences with a trained model; this counts the marks that end them.
_SENTENCE_END = re.compile(r"[.!?…。！？।؟۔]+[\"'”’»)\]]*(?=\s|$)|[。！？]")  # noqa: RUF001


def sentences(view: TextView, *, min_sentences: int = MIN_SENTENCES) -> str | None:
    """Too few sentences."""
    if len(_SENTENCE_END.findall(view.text)) < min_sentences:
        return f"fewer than {min_sentences} sentences"
    return None


def lorem_ipsum(view: TextView) -> str | None:
    """Filler text. C4, section 2.2: pages with the phrase "lorem ipsum" are removed."""
    return "lorem ipsum" if "lorem ipsum" in view.text.lower() else None


def curly_bracket(view: TextView) -> str | None:
    """Program code. C4, section 2.2: pages with a curly bracket are removed."""
    return "curly bracket" if "{" in view.text else None


def unpunctuated_lines(
    view: TextView,
    *,
    max_share: float = MAX_POOR_PUNCTUATION,
    marks: Collection[str] = END_MARKS,
) -> str | None:
    """Too few lines end with punctuation; a share of exactly `max_share` is too few."""
    ends = tuple(marks)
    count = sum([line.endswith(ends) for line in view.lines])
    if share_of(count, len(view.lines)) <= max_share:
        return f"at most {max_share:.0%} of lines end with punctuation"
    return None


def repeated_line_characters(
    view: TextView, *, min_share: float = MIN_BAD_REPEATED_CHARACTERS
) -> str | None:
    """Too many characters are in lines that repeat an earlier one; `min_share` is too many."""
    if repeated_share(view.lines)[1] >= min_share:
        return f"at least {min_share:.0%} of characters are in repeated lines"
    return None


def short_lines(
    view: TextView,
    *,
    min_share: float = MIN_BAD_SHORT_LINES,
    characters: int = SHORT_LINE_CHARACTERS,
) -> str | None:
    """Too many lines have fewer than `characters` characters; `min_share` is too many."""
    count = sum([len(line) < characters for line in view.lines])
    if view.lines and count / len(view.lines) >= min_share:
        return f"at least {min_share:.0%} of lines are shorter than {characters} characters"
    return None
