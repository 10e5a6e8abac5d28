"""Let stages say what they can know before work starts. Called by `run` and by the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from curator_executor.api.pipeline import Stage


def objections(stage: Stage) -> list[str]:
    """What a stage's `check()` finds wrong; empty if it has none or is content.

    `check()` takes nothing and returns None, a text, or several; or raises. It is for what can be
    known before a worker starts: a path that is missing, a model that is not there.
    """
    check = getattr(stage, "check", None)
    if not callable(check):
        return []
    try:
        said = check()
    except Exception as error:  # noqa: BLE001 - what a user's check raises is its answer
        said = str(error) or type(error).__name__
    texts: Iterable[Any] = [said] if isinstance(said, str) else said or []
    return [str(text).rstrip(".") for text in texts]
