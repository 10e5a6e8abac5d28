"""The quality rules by name, and how a list of names and thresholds becomes functions.

Called by `QualityFilter`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from curator_executor.stages import arguments
from curator_executor.stages import heuristics_gopher as gopher
from curator_executor.stages import heuristics_web as web
from curator_executor.stages.text_view import TextView

Rule = Callable[[TextView], str | None]

RULES: dict[str, Callable[..., str | None]] = {
    "word_count": gopher.word_count,
    "mean_word_length": gopher.mean_word_length,
    "symbol_ratio": gopher.symbol_ratio,
    "bullet_lines": gopher.bullet_lines,
    "ellipsis_lines": gopher.ellipsis_lines,
    "alphabetic_words": gopher.alphabetic_words,
    "stop_words": gopher.stop_words,
    "repeated_lines": gopher.repeated_lines,
    "repeated_paragraphs": gopher.repeated_paragraphs,
    "top_ngrams": gopher.top_ngrams,
    "repeated_ngrams": gopher.repeated_ngrams,
    "sentences": web.sentences,
    "lorem_ipsum": web.lorem_ipsum,
    "curly_bracket": web.curly_bracket,
    "unpunctuated_lines": web.unpunctuated_lines,
    "repeated_line_characters": web.repeated_line_characters,
    "short_lines": web.short_lines,
}
_QUALITY = (
    "word_count",
    "mean_word_length",
    "symbol_ratio",
    "bullet_lines",
    "ellipsis_lines",
    "alphabetic_words",
    "stop_words",
)
_REPETITION = ("repeated_lines", "repeated_paragraphs", "top_ngrams", "repeated_ngrams")
RULE_SETS: dict[str, tuple[str, ...]] = {
    "gopher": _QUALITY + _REPETITION,
    "gopher_quality": _QUALITY,
    "gopher_repetition": _REPETITION,
    "c4": ("lorem_ipsum", "curly_bracket", "sentences"),
    "fineweb": ("unpunctuated_lines", "repeated_line_characters", "short_lines"),
}


def compile_rules(stage: str, specs: object) -> list[Rule]:
    """The rules, in order, as functions of a text alone; a rule that is named twice runs once.

    Args:
        stage: who asks, for messages.
        specs: a set's or rule's name, a dict (`{"rule": name, threshold: value, …}`), or a list
            of these. A dict replaces the same rule of a set before it.

    Raises:
        ValueError: an unknown rule or threshold, or a threshold of the wrong kind.
    """
    listed = [specs] if isinstance(specs, (str, Mapping)) else specs
    if not isinstance(listed, (list, tuple)) or not listed:
        raise ValueError(f"{stage}: rules must be a name, a dict or a list of them, got {specs!r}")
    rules: dict[str, Rule] = {}
    for spec in listed:
        if isinstance(spec, Mapping):
            name, rule = _with_thresholds(stage, spec)
            rules[name] = rule
            continue
        arguments.one_of(stage, "rules", spec, [*RULE_SETS, *RULES])
        for name in RULE_SETS.get(spec, (spec,)):
            rules.setdefault(name, RULES[name])
    return list(rules.values())


def _with_thresholds(stage: str, spec: Mapping[str, Any]) -> tuple[str, Rule]:
    given = dict(spec)
    name = given.pop("rule", None)
    if name is None:
        raise ValueError(f"{stage}: rules: a dict needs the key 'rule', got {dict(spec)!r}")
    arguments.one_of(stage, "rules", name, RULES)
    function = RULES[name]
    parameters = {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    arguments.known_keys(stage, f"rules: {name}", given, parameters)
    checked = {
        key: _checked(f"{stage}: rules: {name}: {key}", value, parameters[key])
        for key, value in given.items()
    }
    return name, partial(function, **checked) if checked else function


def _checked(what: str, value: Any, default: Any) -> Any:
    """A threshold of the kind that the default is of."""
    if isinstance(default, Mapping):
        try:
            # Keys of a manifest are text.
            shares = {int(size): float(limit) for size, limit in dict(value).items()}
        except (TypeError, ValueError):
            shares = {}
        if not shares or min(shares) < 1:
            raise ValueError(f"{what} must map n-gram sizes to shares, got {value!r}")
        return shares
    if isinstance(default, tuple):
        if isinstance(value, str) or not all(isinstance(item, str) and item for item in value):
            raise ValueError(f"{what} must be a list of texts, got {value!r}")
        return tuple(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{what} must be a number >= 0, got {value!r}")
    return value
