"""Figures and texts as people read them.

Called by every sink and by the command line. Each result has a known greatest width, so that
tables keep their shape.
"""

from __future__ import annotations

_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_count(count: float) -> str:
    """A count in at most 6 characters: `9,999`, `12.3k`, `4.56M`."""
    if abs(count) < 9_999.5:
        return f"{count:,.0f}"
    for size, letter in _THOUSANDS:
        # Just below 1, so that 999,950 becomes "1.00M" and not "1000k".
        if abs(count) >= 0.9995 * size:
            return f"{_three_digits(count / size)}{letter}"
    return f"{count:,.0f}"


def format_rate(per_second: float) -> str:
    """A rate in at most 6 characters, three digits where they say something: `0.017`, `34.2`."""
    if per_second <= 0:
        return "0"
    if per_second < 0.001:
        return "<0.001"
    if per_second < 1:
        return f"{per_second:.2g}"
    if per_second < 999.5:
        return _three_digits(per_second)
    return format_count(per_second)


def format_duration(seconds: float) -> str:
    """A duration in at most 6 characters: `420ms`, `4.2s`, `2m05s`, `1h02m`, `3d04h`."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds == 0:
        return "0s"
    if seconds < 0.9995:
        milliseconds = seconds * 1000
        return f"{milliseconds:.0f}ms" if milliseconds >= 1 else "<1ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02d}h"


def format_bytes(count: float) -> str:
    """Bytes with a binary unit: `0 B`, `1.50 MiB`."""
    scaled = float(count)
    for unit in _BINARY:
        if scaled < 999.5 or unit == _BINARY[-1]:
            return f"{scaled:.0f} B" if unit == "B" else f"{_three_digits(scaled)} {unit}"
        scaled /= 1024
    raise AssertionError("the last unit takes everything")


def format_percent(percent: float) -> str:
    """A percentage in at most 4 characters; 0% and 100% are said only where they are true."""
    if 0 < percent < 0.5:
        return "<1%"
    return "99%" if 99 < percent < 100 else f"{percent:.0f}%"


def count_of(count: int, singular: str, plural: str = "") -> str:
    """`1 worker`, `3 workers`."""
    return f"{format_count(count)} {singular if count == 1 else plural or singular + 's'}"


def one_line(text: str, limit: int = 200) -> str:
    """Text of unknown origin on one line: white space folded, control characters shown as `?`.

    Messages come from users' code and data; an escape sequence in one must not reach a terminal.
    """
    folded = " ".join(text.split())
    safe = "".join(c if c.isprintable() else "?" for c in folded)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def _three_digits(value: float) -> str:
    size = abs(value)
    if size < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if size < 99.95 else f"{value:.0f}"
