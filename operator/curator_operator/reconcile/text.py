"""Text for a status: cut to length, freed of secrets, numbers as a person reads them.

Called by `status`, `conditions` and `waiting`. What others wrote (Kubernetes, Ray, a user's stage)
passes through `clean` before it is shown.
"""

from __future__ import annotations

import re

CUT = "…"
# user:password@ in a URL, and the value after a word that names a secret. Words before the value
# stay, so that the reader sees what was hidden. Nothing unbounded stands before the words: a stage
# may print a word of megabytes.
_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
_NAMED = re.compile(
    r"(?i)(authorization\s*[:=]\s*(?:bearer\s+|basic\s+)?|"
    r"(?:token|password|passwd|secret|api[_-]?key|access[_-]?key)[\w-]{0,32}[\"']?\s*[:=]\s*[\"']?)"
    r"[^\s\"',;&]+"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+")


def cut(text: str, longest: int) -> str:
    """The text in at most `longest` characters; a cut is seen by its last one, `…`."""
    return text if len(text) <= longest else text[: longest - 1] + CUT


def clean(text: str, longest: int) -> str:
    """Somebody else's text: secrets hidden, control characters gone, cut."""
    # Cut first, roughly: a message of megabytes is not to be searched.
    shown = _CONTROL.sub(" ", text[: 4 * longest])
    shown = _NAMED.sub(r"\1(hidden)", _IN_URL.sub("(hidden)@", shown))
    return cut(shown.strip(), longest)


def figure(value: float) -> str:
    """A rate or a length in about three digits, without an exponent: `0.29`, `12.9`, `1310`."""
    if value >= 1000:
        magnitude = 10 ** (len(str(int(value))) - 3)
        return str(round(value / magnitude) * magnitude)
    if value >= 100:
        return str(round(value))
    if value >= 10:
        return f"{value:.1f}"
    return (
        f"{value:.2f}"
        if value >= 0.1 or value == 0
        else f"{value:.2g}"
        if value >= 1e-3
        else "0.00"
    )


def plural(count: int, word: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
