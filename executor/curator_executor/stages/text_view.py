"""`TextView`: a text and what the quality rules measure of it, each computed at most once."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BLANK_LINES = re.compile(r"\n\s*\n")


class TextView:
    """A text, taken apart on demand.

    Args:
        text: the text.
    """

    __slots__ = ("_characters", "_lines", "_paragraphs", "_words", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._words: list[str] | None = None
        self._lines: list[str] | None = None
        self._paragraphs: list[str] | None = None
        self._characters: int | None = None

    @property
    def words(self) -> list[str]:
        """What white space separates."""
        if self._words is None:
            self._words = self.text.split()
        return self._words

    @property
    def word_characters(self) -> int:
        """Characters that are not white space."""
        if self._characters is None:
            self._characters = sum(map(len, self.words))
        return self._characters

    @property
    def lines(self) -> list[str]:
        """Lines that are not blank, without white space around them."""
        if self._lines is None:
            stripped = map(str.strip, self.text.split("\n"))
            self._lines = [line for line in stripped if line]
        return self._lines

    @property
    def paragraphs(self) -> list[str]:
        """What blank lines separate, without white space around it."""
        if self._paragraphs is None:
            stripped = map(str.strip, _BLANK_LINES.split(self.text))
            self._paragraphs = [paragraph for paragraph in stripped if paragraph]
        return self._paragraphs


def share_of(part: float, whole: float) -> float:
    """`part / whole`, or 0 of nothing.

    Rules compare this with their threshold: a division is rounded as the threshold's literal is,
    so that 29 of 100 is not above 0.29, which `part > 0.29 * whole` would get wrong.
    """
    return part / whole if whole else 0.0


def repeated_share(pieces: Sequence[str]) -> tuple[float, float]:
    """How much of the pieces repeats an earlier one; the first of equal pieces is no repeat.

    Returns:
        (share of the pieces, share of their characters).
    """
    distinct = set(pieces)
    if len(distinct) == len(pieces):
        return 0.0, 0.0
    characters = sum(map(len, pieces))
    repeats = len(pieces) - len(distinct)
    return repeats / len(pieces), (characters - sum(map(len, distinct))) / characters
