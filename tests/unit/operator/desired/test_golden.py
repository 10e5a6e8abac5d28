"""Each scenario's children are what its file holds: a change shows as a diff to be read."""

from __future__ import annotations

import pytest
import yaml

from curator_api.load import parse_manifest
from tests.unit.operator.desired.scenarios import (
    GOLDEN,
    SPECS,
    children_of,
    golden_text,
    pipeline,
    spec_of,
)


@pytest.mark.parametrize("name", SPECS)
def test_children_are_those_in_the_file(name: str) -> None:
    """After a change that is meant: python -m tests.unit.operator.desired.scenarios."""
    assert golden_text(name) == (GOLDEN / f"{name}.yaml").read_text()


def test_no_file_without_a_scenario() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(SPECS)


@pytest.mark.parametrize("name", [name for name in SPECS if name != "existing"])
def test_manifest_in_the_config_map_is_one_that_the_driver_takes(name: str) -> None:
    config_map = next(child for child in children_of(name) if child.get("kind") == "ConfigMap")
    manifest = parse_manifest(config_map["data"]["pipeline.yaml"])
    assert (manifest.metadata.name, manifest.spec) == (pipeline().name, spec_of(SPECS[name]))


@pytest.mark.parametrize("name", SPECS)
def test_children_are_plain_values(name: str) -> None:
    for child in children_of(name):
        assert yaml.safe_load(yaml.safe_dump(child)) == child
