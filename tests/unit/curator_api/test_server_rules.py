"""Every example of the API server's rules, put to the models."""

from __future__ import annotations

import pytest

from curator_api.errors import ManifestError
from curator_api.load import parse_manifest
from curator_api.v1alpha1.server_rules import SERVER_RULES
from tests.unit.curator_api.manifests import spec

GOOD = [text for rule in SERVER_RULES for text in rule.good]
BAD = [text for rule in SERVER_RULES for text in rule.bad]


@pytest.mark.parametrize("text", GOOD)
def test_good_example_is_taken(text: str) -> None:
    parse_manifest(spec(text.rstrip()))


@pytest.mark.parametrize("text", BAD)
def test_bad_example_is_refused_with_one_problem(text: str) -> None:
    with pytest.raises(ManifestError) as raised:
        parse_manifest(spec(text.rstrip()))

    assert len(raised.value.problems) == 1


@pytest.mark.parametrize("rule", SERVER_RULES, ids=lambda rule: rule.message[:40])
def test_rule_has_examples_both_ways(rule: object) -> None:
    assert getattr(rule, "good", None)
    assert getattr(rule, "bad", None)
