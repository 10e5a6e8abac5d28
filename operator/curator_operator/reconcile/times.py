"""Times as a status has them (RFC 3339, whole seconds) and as the operator counts (seconds, 1970).

Called by everything here that reads or writes a time. Whole seconds, because more would make a
status differ from itself without anybody seeing why.
"""

from __future__ import annotations

from datetime import UTC, datetime

from curator_api.times import seconds


def stamp(at: float) -> str:
    """A time as RFC 3339 in UTC, such as `2026-11-24T14:03:10Z`."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def since(text: str | None, now: float) -> float:
    """Seconds from a time in a status until `now`; 0 where it is unknown or lies ahead.

    A clock that was set back must not make anything look older than it is.
    """
    at = seconds(text)
    return 0.0 if at is None else max(0.0, now - at)


def duration(length_s: float) -> str:
    """A length of time as a person reads it, at most two units: `1h20m`, `1m30s`, `45s`."""
    left = max(0, round(length_s))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
            if len(parts) == 2:
                break
        elif parts:
            break
    return "".join(parts) or "0s"
