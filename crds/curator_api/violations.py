"""What pydantic found, in the words of the manifest.

Called by `load` with the error of a validation. Gives each finding a path in wire names, a line,
what was wanted and got, and the nearest right name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from curator_api.base import bare_type
from curator_api.document import Document, Loc
from curator_api.errors import Problem, did_you_mean, join_path, shown
from curator_api.v1alpha1.names import WORDS_BY_PATTERN
from curator_api.v1alpha1.rules import RULE_ERROR, Breach

_WANTED_BY_TYPE = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
}
_WANTED_BY_LIMIT = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "text that is not empty",
    "too_long": "at most {max_length} entries",
    "too_short": "a list that is not empty",
}
# What `kubectl get -o yaml` prints beside what a person writes.
_SERVER_FIELDS = {
    "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
}  # fmt: skip


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document
) -> list[Problem]:
    """Every finding of a validation.

    Args:
        error: what pydantic raised.
        model: the model that was validated.
        document: where the values came from.
    """
    found: list[Problem] = []
    for details in error.errors(include_url=False):
        loc: Loc = tuple(details["loc"])
        if details["type"] == RULE_ERROR:
            found += [_of_breach(breach, loc, document) for breach in details["ctx"]["breaches"]]
            continue
        message, hint = _message(dict(details), loc, model)
        found.append(Problem(join_path(loc), message, hint, document.line_of(loc)))
    return found


def _of_breach(breach: Breach, loc: Loc, document: Document) -> Problem:
    whole = (*loc, *breach.loc)
    return Problem(
        join_path(whole), breach.message, breach.hint, document.line_of(whole), breach.label
    )


def _message(details: dict[str, Any], loc: Loc, model: type[BaseModel]) -> tuple[str, str]:
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return f"is missing: {_description(loc, model)}", ""
    if kind == "extra_forbidden":
        return "unknown field", _field_hint(str(loc[-1]), model_at(loc[:-1], model))
    if kind == "literal_error":
        allowed = [str(value) for value in get_args(_kind_at(loc, model))]
        return (
            f"wanted {_either(allowed)}, got {shown(given)}",
            did_you_mean(given, allowed) if isinstance(given, str) else "",
        )
    if kind == "string_pattern_mismatch":
        wanted = WORDS_BY_PATTERN.get(context["pattern"], f"text like {context['pattern']}")
        return f"wanted {wanted}; got {shown(given)}", ""
    if kind in _WANTED_BY_TYPE:
        return f"wanted {_WANTED_BY_TYPE[kind]}, got {shown(given)}", _type_hint(kind, given)
    if kind == "repeated":
        return str(details["msg"]), "Names must be unique"
    if kind in _WANTED_BY_LIMIT:
        got = str(len(given)) if kind.endswith("too_long") else shown(given)
        return f"wanted {_WANTED_BY_LIMIT[kind].format(**context)}, got {got}", ""
    return str(details["msg"]), ""


def _type_hint(kind: str, given: object) -> str:
    if kind == "string_type" and isinstance(given, (int, float)):
        return f'Write "{shown(given)}" in quotes'
    if kind in ("int_type", "int_from_float", "float_type", "bool_type") and isinstance(given, str):
        try:
            float(given)
        except ValueError:
            return ""
        return f"Write {given} without quotes" if kind != "bool_type" else ""
    if kind == "list_type" and isinstance(given, dict):
        return "Begin each entry with '- '"
    if given is None:
        return "Leave the field out if it has no value"
    return ""


def _field_hint(name: str, model: type[BaseModel] | None) -> str:
    if model is None:
        return ""
    fields = wire_fields(model)
    if name in _SERVER_FIELDS:
        return "The API server writes it; leave it out"
    close = did_you_mean(name, fields)
    if close:
        return close
    for field, kind in fields.items():
        inner = model_in(kind)
        if inner is not None and get_origin(bare_type(kind)) is None and name in wire_fields(inner):
            return f"It belongs under {field}"
    return f"Known here: {', '.join(fields)}"


def _description(loc: Loc, model: type[BaseModel]) -> str:
    parent = model_at(loc[:-1], model)
    if parent is None:
        return "it must be given"
    for name, info in parent.model_fields.items():
        if (info.alias or name) == loc[-1]:
            return (info.description or "it must be given").rstrip(".")
    return "it must be given"


def _either(values: Iterable[str]) -> str:
    return " or ".join(values)


def wire_fields(model: type[BaseModel]) -> dict[str, Any]:
    """Type of each field, by the name that it has in the file."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def model_in(kind: Any) -> type[BaseModel] | None:
    """The model that a type is, or is a list or mapping of; None if there is none."""
    bare = bare_type(kind)
    if get_origin(bare) in (list, dict):
        bare = get_args(bare)[-1]
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _kind_at(loc: Loc, model: type[BaseModel]) -> Any:
    """The type of the value at a path, or None if the path leads nowhere."""
    kind: Any = model
    for part in loc:
        bare = bare_type(kind)
        if get_origin(bare) in (list, dict):
            kind = get_args(bare)[-1]
        elif isinstance(bare, type) and issubclass(bare, BaseModel):
            kind = wire_fields(bare).get(str(part))
        else:
            return None
    return bare_type(kind)


def model_at(loc: Loc, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model of the value at a path, or None if that is no model."""
    kind = _kind_at(loc, model)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
