"""What the chart makes of values: as it was when somebody last looked at it, or a clear refusal.

Needs Helm and no API server. `CURATOR_WRITE_GOLDEN=1` writes the files in `golden/` anew; look at
what has changed in them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from curator_api.crd import custom_resource_definition
from curator_operator.settings import OperatorSettings
from tests.cluster.chart.golden_values import VALUES
from tests.cluster.chart.helm import CHART, KUBERNETES, helm, named, objects, rendered

GOLDEN = Path(__file__).parent / "golden"
CRD = "CustomResourceDefinition"
WRONG = [
    ({"watchNamespace": ["a"]}, "additional properties 'watchNamespace' not allowed"),
    ({"watchNamespaces": "team-a"}, "at '/watchNamespaces': got string, want array"),
    ({"watchNamespaces": ["Team"]}, "at '/watchNamespaces/0': 'Team' does not match"),
    ({"image": {"digest": "sha1:ab"}}, "at '/image/digest'"),
    ({"image": {"repository": "curator/operator:1"}}, "at '/image/repository'"),
    ({"config": {"logLevel": "LOUD"}}, "at '/config/logLevel': value must be one of 'DEBUG'"),
    ({"config": {"workers": 0}}, "at '/config/workers': minimum: got 0, want 1"),
    ({"extraEnv": [{"name": "CURATOR_TOKEN_KEY"}]}, "at '/extraEnv/0/name'"),
    ({"terminationGracePeriodSeconds": 5}, "minimum: got 5, want 11"),
    ({"serviceAccount": {"create": False}}, "serviceAccount.name: wanted the name"),
    ({"networkPolicy": {"heads": {"enabled": True}}}, "networkPolicy.heads.namespaces: wanted"),
]


def without_the_definition_and_the_key(text: str) -> str:
    """As objects in order; the definition has its own test, and the key is another each time."""
    kept: list[dict[str, Any]] = []
    for each in objects(text):
        if each["kind"] == "Secret":
            each["data"] = dict.fromkeys(each["data"], "(random)")
        if each["kind"] != CRD:
            kept.append(each)
    return yaml.safe_dump_all(kept, sort_keys=False, width=100)


def test_chart_has_no_lint(tmp_path: Path) -> None:
    ran = helm("lint", "--strict", "--kube-version", KUBERNETES, CHART, home=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", VALUES)
def test_rendered_chart_is_as_it_was(name: str, tmp_path: Path) -> None:
    now = without_the_definition_and_the_key(rendered(VALUES[name], tmp_path))
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("CURATOR_WRITE_GOLDEN"):
        file.write_text(now)
    assert now == file.read_text()


@pytest.mark.parametrize(("values", "said"), WRONG, ids=[said for _, said in WRONG])
def test_wrong_values_are_refused(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as refusal:
        rendered(values, tmp_path)
    assert said in str(refusal.value)


def test_definition_is_that_of_the_models(tmp_path: Path) -> None:
    (made,) = [each for each in objects(rendered({}, tmp_path)) if each["kind"] == CRD]
    assert made["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert made == custom_resource_definition()


def test_definition_and_key_go_with_the_release_when_that_is_asked(tmp_path: Path) -> None:
    found = objects(rendered({"crds": {"keep": False}}, tmp_path))
    for kind in (CRD, "Secret"):
        (one,) = [each for each in found if each["kind"] == kind]
        assert "annotations" not in one["metadata"]


@pytest.mark.parametrize("name", VALUES)
def test_operator_takes_the_settings_of_its_deployment(name: str, tmp_path: Path) -> None:
    deployment = named(objects(rendered(VALUES[name], tmp_path)), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value", "k" * 48) for each in container["env"]}
    settings = OperatorSettings.from_environment(given)
    assert list(settings.namespaces) == VALUES[name].get("watchNamespaces", [])
    if name == "gitops":
        assert settings.service_accounts == ("default", "reader")
        assert (settings.workers, settings.poll_interval_s, settings.resync_s) == (8, 2.5, 60)


def test_every_setting_of_the_chart_reaches_the_operator(tmp_path: Path) -> None:
    """A misspelt variable would be ignored: each must be one that the operator knows."""
    config = {
        **dict.fromkeys(["workers", "pollConcurrency", "pollIntervalSeconds"], 3),
        **dict.fromkeys(["resyncSeconds", "stalledAfterSeconds", "lostAfterSeconds"], 3),
        "defaultImage": "image:3",
        "rayVersion": "3.0.0",
        "serviceAccounts": ["three"],
    }
    listed = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    assert {*config, "logLevel"} == set(listed)
    deployment = named(objects(rendered({"config": config}, tmp_path)), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    names = {each["name"].removeprefix("CURATOR_").lower() for each in container["env"]}
    assert names <= set(OperatorSettings.model_fields)
    always = {"token_key", "own_namespace", "namespaces", "http_port"}
    assert len(names - always) == len(listed)
