"""Every C4 and FineWeb rule at its threshold, on both sides."""

from __future__ import annotations

import pytest

from curator_executor.stages import heuristics_web as web
from curator_executor.stages.text_view import TextView


def lined(*lines: str) -> TextView:
    return TextView("\n".join(lines))


GOOD = "A line that ends as it should."
LONG = "This line has no mark at its end but is long"
CASES = {
    "sentences": (
        web.sentences(TextView("One. Two! Three? Four… He said “five.” ")),
        web.sentences(TextView("One. Two! Three? Version 1.2 is four.")),
        "fewer than 5 sentences",
    ),
    "sentences without spaces between": (
        web.sentences(TextView("一。二。三！四？五。")),  # noqa: RUF001
        web.sentences(TextView("一。二。三！四？")),  # noqa: RUF001
        "fewer than 5 sentences",
    ),
    "lorem_ipsum": (
        web.lorem_ipsum(TextView("lorem, ipsum")),
        web.lorem_ipsum(TextView("Lorem Ipsum dolor")),
        "lorem ipsum",
    ),
    "curly_bracket": (
        web.curly_bracket(TextView("f(x) [1] }")),
        web.curly_bracket(TextView("if (x) {")),
        "curly bracket",
    ),
    "unpunctuated_lines": (
        web.unpunctuated_lines(lined(*[GOOD] * 13, *[LONG] * 87)),
        web.unpunctuated_lines(lined(*[GOOD] * 12, *[LONG] * 88)),
        "at most 12% of lines end with punctuation",
    ),
    "repeated_line_characters": (
        web.repeated_line_characters(lined("a" * 10, "a" * 10, "b" * 81)),
        web.repeated_line_characters(lined("a" * 10, "a" * 10, "b" * 80)),
        "at least 10% of characters are in repeated lines",
    ),
    "short_lines share": (
        web.short_lines(lined(*["x" * 29] * 66, *["x" * 30] * 34)),
        web.short_lines(lined(*["x" * 29] * 67, *["x" * 30] * 33)),
        "at least 67% of lines are shorter than 30 characters",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rule_passes_at_its_threshold_and_drops_beyond(case: str) -> None:
    passed, dropped, reason = CASES[case]
    assert (passed, dropped) == (None, reason)
