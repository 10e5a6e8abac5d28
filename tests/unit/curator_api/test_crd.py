"""From pydantic's schema to one that the API server takes: each construct, and the whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, TypeAdapter, computed_field

from curator_api.crd import COLUMNS, SchemaError, custom_resource_definition, structural
from curator_api.generate import DEFAULT_FILE, definition, main
from curator_api.quantities import MemoryQuantity
from curator_api.v1alpha1 import ClusterSpec, CuratorPipeline, PipelineSpec, PipelineStatus
from curator_api.v1alpha1.edits import (
    FINISHED_FIELDS,
    LIVE_FIELDS,
    LIVE_GROUP_FIELDS,
    edit_rules,
)
from curator_api.v1alpha1.names import BY_NAME, FreeForm
from curator_api.v1alpha1.server_rules import SERVER_RULES

ANYTHING = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def converted(kind: Any, **options: Any) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    return structural(schema, schema.get("$defs", {}), "spec.field", **options)


class Inner(BaseModel):
    """Something."""

    many: list[str] = Field(default_factory=list, max_length=3, description="Some.")
    least: float = Field(gt=0)


class Outer(BaseModel):
    inner: Inner = Field(description="The\nfield's own words.")
    made: Inner = Field(default_factory=lambda: Inner(least=1))
    few: int = Field(3, ge=1, le=9)
    on: bool = False
    way: Literal["a", "b"] = "a"

    @computed_field(description="Computed.")  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2 * self.few


class Loop(BaseModel):
    next: Loop | None = None


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (str, {"type": "string"}),
        (int | None, {"type": "integer"}),
        (Annotated[int, Field(ge=1, le=9)] | None, {"type": "integer", "minimum": 1, "maximum": 9}),
        (
            Annotated[float, Field(gt=0, lt=1)],
            {
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 1,
                "exclusiveMaximum": True,
            },
        ),
        (Literal["only"], {"type": "string", "enum": ["only"]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (FreeForm, {"type": "object", "additionalProperties": ANYTHING}),
        (dict[str, str], {"type": "object", "additionalProperties": {"type": "string"}}),
        (
            Annotated[dict[str, int], Field(max_length=4)],
            {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "integer"}},
        ),
        (
            Annotated[list[str], Field(min_length=1, max_length=4)],
            {
                "type": "array",
                "minItems": 1,
                "maxItems": 4,
                "items": {"type": "string"},
                "x-kubernetes-list-type": "atomic",
            },
        ),
        (
            Annotated[list[str], Field(max_length=4, json_schema_extra={"uniqueItems": True})],
            {
                "type": "array",
                "maxItems": 4,
                "items": {"type": "string"},
                "x-kubernetes-list-type": "set",
            },
        ),
        (
            Annotated[list[FreeForm], Field(max_length=4, json_schema_extra=BY_NAME)],
            {
                "type": "array",
                "maxItems": 4,
                "items": {"type": "object", "additionalProperties": ANYTHING},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
        (
            Inner,
            {
                "description": "Something.",
                "type": "object",
                "required": ["least"],
                "properties": {
                    "many": {
                        "description": "Some.",
                        "type": "array",
                        "maxItems": 3,
                        "items": {"type": "string"},
                        "x-kubernetes-list-type": "atomic",
                    },
                    "least": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                },
            },
        ),
    ],
)
def test_construct_becomes_what_the_api_server_takes(kind: Any, wanted: dict[str, Any]) -> None:
    assert converted(kind) == wanted


def test_models_are_written_where_they_are_used_with_the_field_s_own_words() -> None:
    outer = converted(Outer)

    assert outer["properties"]["inner"]["description"] == "The field's own words."
    assert outer["properties"]["made"]["description"] == "Something."
    assert outer["properties"]["inner"]["required"] == ["least"]


def test_defaults_are_written_and_computed_fields_are_not_required() -> None:
    outer = converted(Outer)

    assert outer["required"] == ["inner"]
    given = {name: field.get("default") for name, field in outer["properties"].items()}
    assert given == {
        "inner": None,
        "made": None,
        "few": 3,
        "on": False,
        "way": "a",
        "twice": None,
    }


def test_a_status_has_no_defaults() -> None:
    assert all("default" not in field for _, field in walked(SCHEMA["properties"]["status"]))


def test_a_quantity_is_an_integer_or_a_text_with_a_rule() -> None:
    quantity = converted(MemoryQuantity | None)

    assert quantity["x-kubernetes-int-or-string"] is True
    assert "type" not in quantity
    assert quantity["maxLength"] == 32
    assert [rule["message"][:10] for rule in quantity["x-kubernetes-validations"]] == ["wanted a q"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int | str | float, "a choice of types"),
        (Inner | Outer, "a choice of types"),
        (Annotated[tuple[int, str], Field(max_length=2)], "prefixItems"),
        (list[int], "a list without maxItems has no price"),
        (Any, "values of type None"),
        (None, "values of type null"),
        (Literal[1, 2], "a choice of values that are not all text"),
        (Annotated[int, Field(multiple_of=3)], "multipleOf"),
        (Loop, "Loop is inside itself"),
        (Annotated[str, Field(json_schema_extra={"if": {}})], "no custom resource has if"),
    ],
)
def test_what_no_custom_resource_can_have_fails_with_the_path(kind: Any, words: str) -> None:
    with pytest.raises(SchemaError) as raised:
        converted(kind)

    assert str(raised.value).startswith("spec.field")
    assert words in str(raised.value)


def test_the_path_leads_into_lists_and_mappings() -> None:
    class Deep(BaseModel):
        deep: dict[str, Annotated[list[Annotated[int, Field(multiple_of=2)]], Field(max_length=1)]]

    with pytest.raises(SchemaError, match=r"^spec\.field\.deep\.NAME\[\]: "):
        converted(Deep)


def walked(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, schema) of all that is inside."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from walked(field, f"{path}.{name}")
    if "items" in schema:
        yield from walked(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walked(schema["additionalProperties"], f"{path}.NAME")


def test_the_committed_file_is_what_the_models_say() -> None:
    assert DEFAULT_FILE.read_text(encoding="utf-8") == definition()


def test_the_file_reads_back_as_the_definition() -> None:
    assert yaml.safe_load(definition()) == custom_resource_definition()


def test_check_fails_on_a_stale_file_and_leaves_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "crd.yaml"
    assert main(["--check", str(file)]) == 1
    assert main([str(file)]) == 0
    assert main(["--check", str(file)]) == 0
    file.write_text(file.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")

    assert main(["--check", str(file)]) == 1
    assert file.read_text(encoding="utf-8").endswith("# more\n")
    assert "is stale; write it with make generate" in capsys.readouterr().err


def model_paths(model: type[BaseModel], path: str) -> Iterator[str]:
    """Each field of a model by its path in the file."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")

    def inside(part: dict[str, Any], path: str) -> Iterator[str]:
        for option in part.get("anyOf", ()):
            yield from inside(option, path)
        if "$ref" in part:
            yield from inside(schema["$defs"][part["$ref"].split("/")[-1]], path)
        for name, field in part.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from inside(field, f"{path}.{name}")
        if "items" in part:
            yield from inside(part["items"], f"{path}[]")
        if isinstance(part.get("additionalProperties"), dict):
            yield from inside(part["additionalProperties"], f"{path}.NAME")

    return inside(schema, path)


@pytest.mark.parametrize(("field", "model"), [("spec", PipelineSpec), ("status", PipelineStatus)])
def test_every_field_of_the_models_is_declared(field: str, model: type[BaseModel]) -> None:
    """What is not declared would be pruned without a word."""
    declared = {path for path, _ in walked(SCHEMA["properties"][field], f".{field}")}

    assert set(model_paths(model, f".{field}")) - declared == set()


def test_every_field_is_described() -> None:
    plain = [
        path
        for field in ("spec", "status")
        for path, schema in walked(SCHEMA["properties"][field], field)
        if not path.endswith(("[]", "NAME")) and "description" not in schema
    ]

    assert plain == []


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column[0])
def test_column_shows_a_declared_field_of_its_type(column: tuple[str, str, str, int, str]) -> None:
    _, kind, path, _, _ = column
    declared = {where: schema.get("type") for where, schema in walked(SCHEMA)}

    assert path == ".metadata.creationTimestamp" or declared[path] == kind


def test_every_rule_of_the_table_is_in_the_definition() -> None:
    table = {rule.rule for rule in SERVER_RULES} | {rule.rule for rule in edit_rules()}
    written = {
        rule["rule"]
        for _, schema in walked(SCHEMA)
        for rule in schema.get("x-kubernetes-validations", ())
    }

    assert written == table


def test_existing_leaves_no_room_for_any_other_field_of_the_cluster() -> None:
    (rule,) = [rule for rule in SERVER_RULES if "nothing else" in rule.message]
    others = {info.alias for info in ClusterSpec.model_fields.values()} - {"existing"}

    assert {name for name in others if f".{name})" not in rule.rule} == set()


def test_every_field_is_either_compared_or_free_to_be_edited() -> None:
    work, ended = (rule.rule for rule in edit_rules())
    groups = SCHEMA["properties"]["spec"]["properties"]["cluster"]["properties"]["workerGroups"]
    fields = {str(info.alias) for info in PipelineSpec.model_fields.values()}
    group_fields = set(groups["items"]["properties"])

    assert {name for name in fields if f"spec.{name})" in work or f").{name})" in work} == (
        fields - LIVE_FIELDS
    )
    assert {name for name in fields if f"spec.{name})" in ended or f").{name})" in ended} == (
        fields - FINISHED_FIELDS
    )
    assert {name for name in group_fields if f"(g.{name})" in work or f"(g).{name})" in work} == (
        group_fields - LIVE_GROUP_FIELDS
    )


def test_the_version_and_kind_are_those_of_the_models() -> None:
    names = custom_resource_definition()["spec"]["names"]

    assert names["kind"] == CuratorPipeline.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]
    assert (names["shortNames"], names["categories"]) == (["cpl"], ["curator"])
