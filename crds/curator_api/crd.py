"""The CustomResourceDefinition, made from the models.

Called by `generate`. What pydantic says in JSON Schema and what the API server takes as a
structural schema differ: each construct is converted here, and one that is not known fails with
the path of its field, so that nothing reaches the CRD that means something else there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curator_api.v1alpha1 import KIND, CuratorPipeline
from curator_api.v1alpha1.edits import edit_rules
from curator_api.v1alpha1.server_rules import SERVER_RULES
from curator_api.v1alpha1.status import PipelineStatus

GROUP = "curator.dev"
VERSION = "v1alpha1"
PLURAL = "curatorpipelines"

Schema = dict[str, Any]
# Nothing is typed below, nulls included, and everything is kept. As the values of a mapping, and
# not as a mapping that keeps unknown fields: there a renamed key compares as equal.
_ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
_LIMITS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")
_KNOWN = {
    "$defs", "additionalProperties", "anyOf", "const", "default", "description", "enum",
    "exclusiveMaximum", "exclusiveMinimum", "items", "maxProperties", "minProperties",
    "properties", "readOnly", "required", "title", "type", "uniqueItems", *_LIMITS,
}  # fmt: skip
_PASSED_ON = "x-kubernetes-"

COLUMNS = (
    ("Phase", "string", ".status.phase", 0, "Where the pipeline is in its life."),
    ("Progress", "string", ".status.progress.summary", 0, "Inputs done, of how many."),
    ("Rate", "string", ".status.progress.inputsPerSecond", 0, "Inputs a second, recently."),
    ("Bottleneck", "string", ".status.heldUpBy", 0, "Slowest stage, or why it does not run."),
    ("ETA", "string", ".status.progress.remaining", 0, "How long it will still take."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "When it was made."),
    ("Attempt", "integer", ".status.attempt", 1, "Number of the attempt."),
    ("Message", "string", ".status.message", 1, "What it waits for, or how it ended."),
)


class SchemaError(ValueError):
    """A construct that no custom resource can have; says where it is."""


def custom_resource_definition() -> Schema:
    """The whole object, as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["cpl"],
                "categories": ["curator"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(_columns()),
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def _columns() -> Iterator[Schema]:
    for name, kind, path, priority, description in COLUMNS:
        column = {"name": name, "type": kind, "jsonPath": path, "description": description}
        yield {**column, "priority": priority} if priority else column


def _root() -> Schema:
    """The resource: its own fields by the models, the rest as the API server wants it."""
    whole = CuratorPipeline.model_json_schema(by_alias=True, mode="validation")
    said = PipelineStatus.model_json_schema(by_alias=True, mode="serialization")
    spec = structural(whole["properties"]["spec"], whole["$defs"], "spec")
    status = structural(said, said.get("$defs", {}), "status", defaults=False)
    name = structural(whole["$defs"]["Metadata"]["properties"]["name"], {}, "metadata.name")
    return {
        "type": "object",
        "description": " ".join((CuratorPipeline.__doc__ or "").split()),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this format."},
            "kind": {"type": "string", "description": "Kind of the resource."},
            # The API server has its own schema for the rest of it.
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [
            {"rule": edit.rule, "message": edit.message, "fieldPath": ".spec"}
            for edit in edit_rules()
        ],
    }


def structural(
    schema: Mapping[str, Any],
    models: Mapping[str, Any],
    path: str,
    *,
    defaults: bool = True,
) -> Schema:
    """A structural schema from pydantic's.

    Args:
        schema: JSON Schema of a value.
        models: what `#/$defs/` refers to.
        path: the field, for errors.
        defaults: write the defaults; those of a status would come back as changes.

    Raises:
        SchemaError: a construct that is not known.
    """
    return _Converter(models, defaults).convert(schema, path, ())


class _Converter:
    """Walks a schema."""

    def __init__(self, models: Mapping[str, Any], defaults: bool) -> None:
        self.models = models
        self.defaults = defaults

    def convert(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> Schema:
        if "$ref" in schema:
            return self._model(schema, path, inside)
        unknown = {name for name in schema if not name.startswith(_PASSED_ON)} - _KNOWN
        if unknown:
            raise SchemaError(f"{path}: no custom resource has {', '.join(sorted(unknown))}")
        if "anyOf" in schema:
            return self._union(schema, path, inside)
        kind = schema.get("type", "string" if "enum" in schema or "const" in schema else None)
        convert = {
            "object": self._object,
            "array": self._array,
            "string": self._scalar,
            "integer": self._scalar,
            "number": self._scalar,
            "boolean": self._scalar,
        }.get(kind or "")
        if convert is None:
            raise SchemaError(f"{path}: no custom resource has values of type {kind}")
        return self._described(schema, convert(schema, path, inside))

    def _model(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> Schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if name in inside:
            raise SchemaError(f"{path}: {name} is inside itself, which no custom resource can be")
        beside = set(schema) - {"$ref", "$defs", "description", "default", "title"}
        if beside:
            raise SchemaError(f"{path}: a model with {', '.join(sorted(beside))} beside it")
        found = self.convert(self.models[name], path, (*inside, name))
        return self._described(schema, found)

    def _union(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> Schema:
        """X or null is X; an integer or text is what Kubernetes calls int-or-string."""
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        if len(options) == 1:
            return self.convert({**options[0], **rest}, path, inside)
        by_type = {option.get("type"): option for option in options}
        if set(by_type) == {"integer", "string"}:
            return self._described(rest, _int_or_string(by_type, path))
        raise SchemaError(f"{path}: no custom resource has a choice of types")

    def _object(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> Schema:
        found: Schema = {"type": "object"}
        more = schema.get("additionalProperties", False)
        properties = schema.get("properties")
        for limit in ("minProperties", "maxProperties"):
            if limit in schema:
                found[limit] = schema[limit]
        if properties is None:
            found["additionalProperties"] = (
                dict(_ANYTHING) if more is True else self._values(more, path, inside)
            )
            return found
        if more is not False:
            raise SchemaError(f"{path}: named fields and any others beside them")
        computed = {name for name, field in properties.items() if field.get("readOnly")}
        required = [name for name in schema.get("required", ()) if name not in computed]
        if required:
            found["required"] = required
        found["properties"] = {
            name: self.convert(field, f"{path}.{name}", inside)
            for name, field in properties.items()
        }
        rules = list(_rules(str(schema.get("title", ""))))
        if rules:
            found["x-kubernetes-validations"] = rules
        return found

    def _values(self, more: Any, path: str, inside: tuple[str, ...]) -> Schema:
        if not isinstance(more, Mapping):
            raise SchemaError(f"{path}: a mapping without fields and without values")
        return self.convert(more, f"{path}.NAME", inside)

    def _array(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> Schema:
        if "items" not in schema:
            raise SchemaError(f"{path}: a list without a type of its entries")
        if "maxItems" not in schema:
            raise SchemaError(f"{path}: a list without maxItems has no price for rules")
        found: Schema = {"type": "array", **_limits(schema)}
        found["items"] = self.convert(schema["items"], f"{path}[]", inside)
        passed_on = {key: value for key, value in schema.items() if key.startswith(_PASSED_ON)}
        kind = "set" if schema.get("uniqueItems") else "atomic"
        return {**found, "x-kubernetes-list-type": kind, **passed_on}

    def _scalar(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> Schema:
        kind = schema.get("type", "string")
        found: Schema = {"type": kind, **_limits(schema)}
        for numeric, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if numeric in schema:
                found |= {limit: schema[numeric], numeric: True}
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None:
            if not all(isinstance(value, str) for value in values):
                raise SchemaError(f"{path}: a choice of values that are not all text")
            found["enum"] = list(values)
        return found

    def _described(self, schema: Mapping[str, Any], found: Schema) -> Schema:
        if "description" in schema:
            said = " ".join(schema["description"].split())
            # The field's own words, not its model's.
            found = {"description": said, **(found | {"description": said})}
        default = schema.get("default")
        # Empty mappings and lists are what an absent one means anyway.
        if self.defaults and default not in (None, [], {}):
            found = {**found, "default": {} if isinstance(default, Mapping) else default}
        return found


def _limits(schema: Mapping[str, Any]) -> Schema:
    return {name: schema[name] for name in _LIMITS if name in schema}


def _int_or_string(by_type: Mapping[str, Mapping[str, Any]], path: str) -> Schema:
    """The limits of the text apply to text alone; the API server skips them for a number."""
    if set(by_type["integer"]) - {"type", "title"}:
        raise SchemaError(f"{path}: limits on the number of an int-or-string")
    found = {"x-kubernetes-int-or-string": True, **_limits(by_type["string"])}
    return {**found, "x-kubernetes-validations": list(_rules("MemoryQuantity"))}


def _rules(model: str) -> Iterator[Schema]:
    for rule in SERVER_RULES:
        if rule.model == model:
            written = {"rule": rule.rule, "message": rule.message}
            if rule.field:
                written["fieldPath"] = rule.field
            yield written
