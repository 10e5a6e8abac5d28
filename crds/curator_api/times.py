"""Times as a status has them (RFC 3339). Called by who reads one: operator and commands."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(text: str | None) -> float | None:
    """Seconds since 1970 of a time in a status; None where there is none that can be read."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
