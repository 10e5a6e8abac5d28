"""`WireModel` and `SpecModel`: what every model of the contract is made from."""

from __future__ import annotations

import typing
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """Frozen, camelCase on the wire, no unknown fields, no silent conversion ("5" is not 5)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )


class SpecModel(WireModel):
    """What a person writes, read as the API server reads it.

    A field without a value (null) is a field left out, and 4.0 is the whole number 4. What is
    passed on verbatim (`args`, `runtimeEnv`, …) keeps its nulls.
    """

    @model_validator(mode="before")
    @classmethod
    def _as_the_server_reads(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kinds = _kinds(cls)
        read: dict[Any, Any] = {}
        for name, given in value.items():
            kind = kinds.get(name)
            if given is None and name in kinds:
                continue
            if kind is int and isinstance(given, float) and given.is_integer():
                read[name] = int(given)
            elif kind is dict and isinstance(given, dict):
                read[name] = {key: entry for key, entry in given.items() if entry is not None}
            else:
                read[name] = given
        return read


@cache
def _kinds(model: type[BaseModel]) -> dict[str, type | None]:
    """For each field, under both of its names: int, dict (of fixed values), or None."""
    kinds: dict[str, type | None] = {}
    for name, info in model.model_fields.items():
        bare = bare_type(info.annotation)
        free = get_origin(bare) is dict and get_args(bare)[1] is Any
        kind = int if bare is int else dict if get_origin(bare) is dict and not free else None
        kinds[name] = kinds[info.alias or name] = kind
    return kinds


def bare_type(kind: Any) -> Any:
    """`X` of `X | None`, of `Annotated[X, …]` and of both; other unions stay as they are."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (UnionType, typing.Union):
            rest = [part for part in get_args(kind) if part is not NoneType]
            if len(rest) != 1:
                return kind
            kind = rest[0]
        else:
            return kind
