"""The reference page and the shape of the models behind it and behind the CRD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator_api.reference import DEFAULT_FOLDER, PAGES, main
from curator_api.v1alpha1 import CuratorPipeline

SCHEMA = CuratorPipeline.model_json_schema(by_alias=True)
MODELS = {"CuratorPipeline": SCHEMA, **SCHEMA["$defs"]}
FIELDS = {
    f"{model}.{name}": field
    for model, schema in MODELS.items()
    for name, field in schema["properties"].items()
}


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_the_models_say(name: str) -> None:
    assert (DEFAULT_FOLDER / name).read_text(encoding="utf-8") == PAGES[name]()


@pytest.mark.parametrize("name", PAGES)
def test_check_fails_on_a_stale_page_and_leaves_it_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / name
    assert main(["--check", str(tmp_path)]) == 1
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    page.write_text(page.read_text(encoding="utf-8") + "more\n", encoding="utf-8")

    assert main(["--check", str(tmp_path)]) == 1
    assert page.read_text(encoding="utf-8").endswith("more\n")
    assert f"{page} is stale; write it with" in capsys.readouterr().err


def test_every_field_is_on_a_page() -> None:
    pages = "".join(page() for page in PAGES.values())

    assert [name for name in FIELDS if f"| `{name.split('.')[1]}` |" not in pages] == []


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())
def test_field_has_a_description(field: dict[str, Any]) -> None:
    # A description that equals the one of the field's model is not repeated in the schema.
    said = field.get("description") or MODELS[field["$ref"].split("/")[-1]]["description"]

    assert len(said) > len("Name.")


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS.keys())
def test_field_has_a_type_that_a_custom_resource_can_have(field: dict[str, Any]) -> None:
    """No tuples; of unions only X or null, and the quantity; a list and a map of models end."""
    kinds = [part.get("type", "model") for part in field.get("anyOf", [field])]
    named = sorted(kind for kind in kinds if kind != "null")

    assert "prefixItems" not in field
    assert len(named) == 1 or named == ["integer", "string"]
    for part in field.get("anyOf", [field]):
        if part.get("type") == "array":
            assert "maxItems" in field or "maxItems" in part
