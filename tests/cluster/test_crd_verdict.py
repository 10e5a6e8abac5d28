"""One verdict three ways: the models, the API server and `curator validate` judge alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from curator_api import parse_resource
from curator_api.document import DocumentError, read_document
from curator_api.errors import ManifestError
from curator_api.load import parse_manifest
from curator_api.v1alpha1.server_rules import SERVER_RULES
from tests.cluster.control_plane import ControlPlane
from tests.cluster.curator_resources import CuratorResources, as_sent
from tests.unit.curator_api.bad_rows import BAD
from tests.unit.curator_api.good_rows import GOOD
from tests.unit.curator_api.manifests import spec

# What the models refuse and `kubectl apply` does not: either YAML has decided before the API server
# sees it, or it stands in free-form values. The operator says the second kind in `Accepted`.
LET_PASS = {
    "two documents": "kubectl takes them for two resources",
    "a plain no": "false when it arrives",
    "a plain yes as flag": "true when it arrives",
    "a plain y": "true when it arrives",
    "n as a key": "a key like any other when it arrives",
    "on as a key": "a key like any other when it arrives",
    "a number as key": "text when it arrives",
    "a key given twice": "one of them when it arrives",
    "bytes": "text when it arrives",
    "fromEnv beside others": "inside args, which is free-form",
    "fromEnv deep inside": "inside args, which is free-form",
}
# Nobody creates with these; `kubectl get -o yaml` prints them, which has a test of its own.
PRINTED = "what the API server writes"

ROWS: dict[str, tuple[str, bool]] = {
    **{f"good: {name}": (text, True) for name, text in GOOD.items() if name != PRINTED},
    **{f"bad: {name}": (text, False) for name, text, _, _ in BAD if name not in LET_PASS},
    **{
        f"rule {number}, {'good' if good else 'bad'} {place}": (spec(text.rstrip()), good)
        for number, rule in enumerate(SERVER_RULES)
        for good, examples in ((True, rule.good), (False, rule.bad))
        for place, text in enumerate(examples)
    },
}


@pytest.fixture(scope="module")
def resources(control_plane: ControlPlane, curator_crd: None) -> CuratorResources:
    return CuratorResources(control_plane)


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """What one `curator validate --fields-only` says of every row."""
    folder = tmp_path_factory.mktemp("manifests")
    files = {name: folder / f"{number}.yaml" for number, name in enumerate(ROWS)}
    for name, file in files.items():
        file.write_text(ROWS[name][0], encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "curator_executor", "validate", "--fields-only", *files.values()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    right = {line.rpartition(": ")[0] for line in ran.stdout.splitlines()}
    return {name: str(file) in right for name, file in files.items()}


def taken_by_models(text: str) -> bool:
    try:
        parse_manifest(text)
    except ManifestError:
        return False
    return True


def taken_by_server(control_plane: ControlPlane, resources: CuratorResources, text: str) -> bool:
    try:
        document = read_document(text)
    except DocumentError:
        return kubectl_takes(control_plane, text)
    if document.problems or not isinstance(document.value, dict):
        # What kubectl makes of it is not what is made of it here.
        return kubectl_takes(control_plane, text)
    return not resources.refusal(as_sent(text))


def kubectl_takes(control_plane: ControlPlane, text: str) -> bool:
    """`kubectl apply` itself, strict."""
    arguments = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    ran = control_plane.try_kubectl(*arguments, given=text)
    return ran.returncode == 0


def test_there_are_enough_rows_both_ways() -> None:
    assert sum(good for _, good in ROWS.values()) >= 60
    assert sum(not good for _, good in ROWS.values()) >= 60


@pytest.mark.parametrize("name", ROWS)
def test_manifest_is_judged_alike_three_ways(
    name: str,
    control_plane: ControlPlane,
    resources: CuratorResources,
    validated: dict[str, bool],
) -> None:
    text, good = ROWS[name]

    verdicts = {
        "models": taken_by_models(text),
        "API server": taken_by_server(control_plane, resources, text),
        "curator validate": validated[name],
    }

    assert verdicts == dict.fromkeys(verdicts, good)


@pytest.mark.parametrize("name", LET_PASS)
def test_what_only_the_models_refuse_is_let_pass_by_kubectl(
    name: str, control_plane: ControlPlane, curator_crd: None
) -> None:
    """So that the list above holds nothing that the API server does judge."""
    (text,) = [text for row, text, _, _ in BAD if row == name]

    assert not taken_by_models(text)
    assert kubectl_takes(control_plane, text)


KUBECTL_ROWS = [
    "good: every field",
    "good: json",
    "good: fields without a value",
    "good: whole numbers with a point",
    "good: memory in plain bytes",
    "bad: a number as text",
    "bad: a misspelt field",
    "bad: a stage without class",
    "bad: an unknown group",
    "bad: a long name",
    "bad: a space in a label",
]


@pytest.mark.parametrize("name", KUBECTL_ROWS)
def test_kubectl_itself_comes_to_the_same_verdict(
    name: str, control_plane: ControlPlane, curator_crd: None
) -> None:
    text, good = ROWS[name]

    assert kubectl_takes(control_plane, text.replace("namespace: team-a, ", "")) == good


@pytest.mark.parametrize("value", ["1e9", "1073741824.0", "8Gi"])
def test_kubectl_sends_whole_numbers_without_a_point(
    value: str, control_plane: ControlPlane, curator_crd: None
) -> None:
    text = f"stages: [{{name: a, class: m.A, resources: {{memory: {value}}}}}]"

    assert kubectl_takes(control_plane, spec(text))


TAKEN = [name for name, (_, good) in ROWS.items() if good]


@pytest.mark.parametrize("name", TAKEN)
def test_the_server_s_defaults_are_the_models(name: str, resources: CuratorResources) -> None:
    """What comes back, defaults filled in and nulls gone, is the manifest that went in."""
    text = ROWS[name][0]

    stored = resources.create(as_sent(text), dry_run="All")

    assert parse_resource(stored).spec == parse_manifest(text).spec


def test_what_kubectl_prints_is_a_manifest_again(
    control_plane: ControlPlane, namespace: str, curator_crd: None, tmp_path: Path
) -> None:
    """With uid, managed fields, a finalizer and a status of another operator's."""
    pipelines = CuratorResources(control_plane, namespace)
    sent = as_sent(GOOD["every field"])
    sent["metadata"]["finalizers"] = ["curator.dev/cleanup"]
    made = pipelines.create(sent)
    made["status"] = {"phase": "Running", "message": "12 of 20"}
    pipelines.replace_status(made)

    printed = control_plane.kubectl("get", "cpl", "clean-web", "-n", namespace, "-o", "yaml")

    assert "managedFields" not in printed
    shown = control_plane.kubectl(
        "get", "cpl", "clean-web", "-n", namespace, "-o", "yaml", "--show-managed-fields"
    )
    assert "managedFields" in shown
    assert parse_manifest(printed).spec == parse_manifest(GOOD["every field"]).spec
    assert parse_manifest(shown).spec == parse_manifest(printed).spec
