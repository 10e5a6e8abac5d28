"""Values that a schema takes and values that it refuses, made from the schema itself.

Used by `test_crd_constraints`. Starting from resources that hold every field, each constraint of
the schema gives one value that keeps it and one that breaks it, put in place of what was there.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]
Place = tuple[str | int, ...]

_WRONG_TYPE = {
    "object": "text",
    "array": {"a": "mapping"},
    "string": 5,
    "integer": "5",
    "number": "5",
    "boolean": "true",
}
_NO_MATCH = ("", "!", " ", "-a", "a\u00a0b")


@dataclass(frozen=True)
class Change:
    """A constraint, and values that keep and break it.

    Attributes:
        place: where the value stands in the resource.
        constraint: what of the schema it is about.
        good: values that keep it; at least one of them leaves the resource right, the others may
            break a rule between fields.
        bad: values that break it.
    """

    place: Place
    constraint: str
    good: tuple[Any, ...]
    bad: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.place))}: {self.constraint}"


def changed(resource: Any, place: Place, value: Any) -> Any:
    """A copy with another value at a place."""
    made = copy.deepcopy(resource)
    inside = made
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
    return made


def changes(schema: Schema, value: Any, place: Place = ()) -> Iterator[Change]:
    """Every constraint of a schema on what a resource holds, and of what is inside it."""
    if place:
        yield from _own(schema, value, place)
    for name, field in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from changes(field, value[name], (*place, name))
    if "items" in schema and value:
        yield from changes(schema["items"], value[0], (*place, 0))
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and "type" in more and value:
        name = next(iter(value))
        yield from changes(more, value[name], (*place, name))


def paths(schema: Schema, path: str = "") -> Iterator[str]:
    """Every place that a schema has, without numbers and names."""
    yield path
    for name, field in schema.get("properties", {}).items():
        yield from paths(field, f"{path}.{name}")
    if "items" in schema:
        yield from paths(schema["items"], f"{path}[]")
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and "type" in more:
        yield from paths(more, f"{path}.NAME")


def held(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """Of these, the places that a resource fills."""
    yield path
    for name, field in schema.get("properties", {}).items():
        if name in value:
            yield from held(field, value[name], f"{path}.{name}")
    if "items" in schema and value:
        yield from held(schema["items"], value[0], f"{path}[]")
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and "type" in more and value:
        yield from held(more, next(iter(value.values())), f"{path}.NAME")


def _own(schema: Schema, value: Any, place: Place) -> Iterator[Change]:
    same = (value,)
    if schema.get("x-kubernetes-int-or-string"):
        yield Change(place, "int-or-string", (*same, "8Gi", 2**33), (True, 1.5, ["8Gi"], {}))
    elif schema.get("type") in _WRONG_TYPE:
        yield Change(place, "type", same, (_WRONG_TYPE[schema["type"]], [None]))
    if "minimum" in schema:
        least = schema["minimum"]
        good = (value,) if schema.get("exclusiveMinimum") else (value, least)
        yield Change(place, "minimum", good, (least - 1, *({least} - set(good))))
    if "maximum" in schema:
        yield Change(place, "maximum", (value, schema["maximum"]), (schema["maximum"] + 1,))
    if "enum" in schema:
        yield Change(place, "enum", tuple(schema["enum"]), ("Invented", ""))
    yield from _text(schema, value, place)
    yield from _list(schema, value, place)
    yield from _mapping(schema, value, place)


def _text(schema: Schema, value: Any, place: Place) -> Iterator[Change]:
    if schema.get("minLength"):
        yield Change(place, "minLength", (value,), ("",))
    if "maxLength" in schema and not schema.get("x-kubernetes-int-or-string"):
        most = schema["maxLength"]
        long = value + "a" * (most - len(value))
        yield Change(place, "maxLength", (value, long), (long + "a",))
    if "pattern" in schema:
        no_match = tuple(text for text in _NO_MATCH if not re.search(schema["pattern"], text))
        assert no_match, f"{place}: nothing at hand that {schema['pattern']} refuses"
        yield Change(place, "pattern", (value,), no_match)


def _list(schema: Schema, value: Any, place: Place) -> Iterator[Change]:
    if schema.get("type") != "array":
        return
    if schema.get("minItems"):
        yield Change(place, "minItems", (value,), ([],))
    yield Change(place, "items", (value,), ([None],))
    kind = schema["x-kubernetes-list-type"]
    if kind in ("map", "set"):
        yield Change(place, f"list type {kind}", (value,), ([*value, value[0]],))
    if schema["items"].get("enum"):
        return  # a set of few words cannot be too long and without repeats
    most = schema["maxItems"]
    if kind == "map" and "enum" in schema["items"]["properties"][_key(schema)]:
        return
    entries = [_other(schema, value[0], number) for number in range(most + 1)]
    entries[: len(value)] = value
    yield Change(place, "maxItems", (value, entries[:most]), (entries[: most + 1],))


def _key(schema: Schema) -> str:
    (key,) = schema["x-kubernetes-list-map-keys"]
    return str(key)


def _other(schema: Schema, entry: Any, number: int) -> Any:
    """Another entry for a list, under a name of its own where it must have one."""
    if schema["x-kubernetes-list-type"] == "map":
        return {**entry, _key(schema): f"more-{number}"}
    if schema["x-kubernetes-list-type"] == "set":
        return f"more-{number}"
    return entry


def _mapping(schema: Schema, value: Any, place: Place) -> Iterator[Change]:
    if schema.get("type") != "object":
        return
    for name in schema.get("required", ()):
        less = {key: entry for key, entry in value.items() if key != name}
        yield Change(place, f"required {name}", (value,), (less, {**value, name: None}))
    if "properties" in schema:
        yield Change(place, "unknown field", (value,), ({**value, "invented": 1},))
    if "maxProperties" in schema:
        most = schema["maxProperties"]
        one = next(iter(value.values()))
        many = {**value, **{f"more-{number}": one for number in range(most)}}
        full = dict(list(many.items())[:most])
        yield Change(place, "maxProperties", (value, full), (dict(list(many.items())[: most + 1]),))


def large_pipeline() -> dict[str, Any]:
    """As many stages, parts and worker groups as may be, with long names."""
    groups = [
        {
            "name": f"{'g' * 60}-{n}",
            "maxReplicas": 4,
            "resources": {"cpus": 8, "memory": "32Gi"},
            "accelerator": {"count": 2, "memory": "80Gi"},
        }
        for n in range(16)
    ]
    options = {
        "workerGroups": [one["name"] for one in groups],
        "workers": {"min": 1, "max": 4},
        "resources": {"cpus": 1, "memory": "31.5Gi", "gpuMemory": "79.5Gi"},
    }
    stages = [
        {"name": f"{'s' * 60}-{n}", "class": "m.A", **options}
        | {"parts": {f"p{part}": options for part in range(15)}}
        for n in range(8)
    ]
    return {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {"name": "large"},
        "spec": {
            "stages": stages,
            "cluster": {"workerGroups": groups},
            "execution": {"maxWorkersPerStage": 4},
        },
    }
