"""`curator submit` and `curator rerun`: what is made, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from curator_executor.cli.arguments import cluster_parser, parser
from curator_executor.cli.kube import submitting
from curator_executor.cli.kube.api import ApiRefused
from curator_executor.cli.kube.commands import run_cluster_command
from curator_executor.cli.kube.following import Gone
from curator_executor.cli.kube.rerunning import again, next_name
from tests.unit.cli.kube.resources import SPEC, MadeUpApi, ended, resource, running

Command = Callable[..., int]
DONE = ended("Succeeded", "Complete", "Succeeded")
OVER = ended("Failed", "Failed", "StageFailed")


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`clean.yaml` in the current folder, and `src/my_team`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src" / "my_team").mkdir(parents=True)
    (tmp_path / "src" / "my_team" / "stages.py").write_text("class Read: ...\n")
    path = tmp_path / "clean.yaml"
    write(path, {})
    return path


def write(path: Path, metadata: dict[str, Any], **spec: Any) -> None:
    obj = {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {"name": "clean-web", **metadata},
        "spec": {**SPEC, **spec},
    }
    path.write_text(yaml.safe_dump(obj))


def ran(api: MadeUpApi, arguments: Sequence[str], plugin: bool = False) -> int:
    options = (cluster_parser() if plugin else parser()).parse_args(arguments)
    return run_cluster_command(options, lambda _kubeconfig, _context: api)


def test_a_manifest_is_made_and_the_next_commands_are_told(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = MadeUpApi()
    assert ran(api, ["submit", "clean.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "team-a/clean-web created",
        "  curator watch -n team-a clean-web",
        "  curator logs -f -n team-a clean-web",
    ]
    made = api.objects["curatorpipelines", "clean-web"]
    assert (made["spec"], made["metadata"]["namespace"]) == (SPEC, "team-a")


def test_as_a_plugin_the_next_commands_are_kubectls(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(MadeUpApi(), ["submit", "clean.yaml", "--context", "other"], plugin=True)
    said = capsys.readouterr().out
    assert "  kubectl curator watch -n team-a --context other clean-web\n" in said


def test_what_a_server_wrote_into_a_file_is_not_sent_back(manifest: Path) -> None:
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    write(
        manifest,
        {
            "uid": "1",
            "resourceVersion": "5",
            "labels": {"team": "web"},
            "annotations": {applied: "{}", "note": "kept"},
        },
    )
    api = MadeUpApi()
    assert ran(api, ["submit", "clean.yaml"]) == 0
    meta = api.objects["curatorpipelines", "clean-web"]["metadata"]
    assert meta == {
        "name": "clean-web",
        "labels": {"team": "web"},
        "annotations": {"note": "kept"},
        "namespace": "team-a",
        "uid": "uid-of-clean-web",
    }


def test_a_manifest_that_is_wrong_is_told_as_validate_does_and_asks_nobody(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(manifest, {}, exekution={})
    api = MadeUpApi()
    assert ran(api, ["submit", "clean.yaml"]) == 2
    assert "Did you mean execution?" in capsys.readouterr().err
    assert api.asked == []


def test_a_manifest_without_a_cluster_is_told_with_what_to_add(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(manifest, {}, cluster=None)
    assert ran(MadeUpApi(), ["submit", "clean.yaml"]) == 2
    assert "spec.cluster: is missing: on Kubernetes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("own", "given", "made"),
    [(None, None, "team-a"), ("own", None, "own"), (None, "b", "b"), ("own", "own", "own")],
)
def test_namespace_is_the_files_or_the_command_lines_or_the_contexts(
    manifest: Path, own: str | None, given: str | None, made: str
) -> None:
    write(manifest, {"namespace": own} if own else {})
    api = MadeUpApi()
    assert ran(api, ["submit", "clean.yaml", *(["-n", given] if given else [])]) == 0
    assert api.objects["curatorpipelines", "clean-web"]["metadata"]["namespace"] == made


def test_two_namespaces_are_one_too_many(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(manifest, {"namespace": "own"})
    assert ran(MadeUpApi(), ["submit", "clean.yaml", "-n", "b"]) == 2
    assert "metadata.namespace: own, the command line --namespace b" in capsys.readouterr().err


def test_a_trial_makes_nothing(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = MadeUpApi()
    assert ran(api, ["submit", "clean.yaml", "--dry-run", "--code", "src"]) == 0
    assert api.objects == {}
    assert [(plural, name[-1]) for _, plural, name in api.asked] == [
        ("configmaps", "?"),
        ("curatorpipelines", "?"),
    ]
    assert "nothing was made" in capsys.readouterr().out


def test_code_is_made_after_its_owner_and_owned_from_the_beginning(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = MadeUpApi()
    assert ran(api, ["submit", "clean.yaml", "--code", "src"]) == 0
    made = [one for one in api.asked if not one[2].endswith("?")]
    assert [plural for _, plural, _ in made] == ["curatorpipelines", "configmaps"]
    held = api.objects["configmaps", made[1][2]]
    assert held["metadata"]["ownerReferences"][0]["uid"] == "uid-of-clean-web"
    volume = api.objects["curatorpipelines", "clean-web"]["spec"]["cluster"]["volumes"][0]
    assert volume["configMap"]["name"] == made[1][2]
    assert "created with" in capsys.readouterr().out


def test_a_pipeline_whose_code_cannot_be_made_goes_again(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = MadeUpApi()
    api.refuses["POST", "configmaps"] = ApiRefused(403, "Forbidden", "may not create configmaps")
    assert ran(api, ["submit", "clean.yaml", "--code", "src"]) == 2
    assert api.objects == {}
    assert "may not create configmaps" in capsys.readouterr().err


def test_what_the_server_refuses_of_the_code_is_known_before_anything_is_made(
    manifest: Path,
) -> None:
    api = MadeUpApi()
    api.refuses["POST?", "configmaps"] = ApiRefused(403, "Forbidden", "may not")
    assert ran(api, ["submit", "clean.yaml", "--code", "src"]) == 2
    assert all(name.endswith("?") for _, _, name in api.asked)


@pytest.mark.parametrize("arguments", [[], ["--replace"]])
def test_a_pipeline_under_way_is_never_touched(
    manifest: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api = MadeUpApi(resource(running()))
    assert ran(api, ["submit", "clean.yaml", *arguments]) == 2
    said = capsys.readouterr().err
    assert "team-a/clean-web exists and is Running" in said
    assert "kubectl delete cpl -n team-a clean-web" in said
    assert ("DELETE", "curatorpipelines", "clean-web") not in api.asked


def test_an_ended_pipeline_of_the_name_is_told_with_the_ways_on(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = MadeUpApi(resource(OVER))
    assert ran(api, ["submit", "clean.yaml"]) == 2
    said = capsys.readouterr().err
    assert "exists and has failed" in said
    assert "--replace" in said
    assert "curator rerun -n team-a clean-web" in said


def test_an_ended_pipeline_is_replaced_when_that_is_asked_for(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "follow", lambda *_: iter([Gone()]))
    api = MadeUpApi(resource(OVER))
    assert ran(api, ["submit", "clean.yaml", "--replace"]) == 0
    assert api.objects["curatorpipelines", "clean-web"]["metadata"]["uid"] == "uid-of-clean-web"


def test_a_trial_replaces_nothing(manifest: Path) -> None:
    api = MadeUpApi(resource(OVER))
    assert ran(api, ["submit", "clean.yaml", "--replace", "--dry-run"]) == 0
    assert api.objects["curatorpipelines", "clean-web"] == resource(OVER)


def test_rerun_makes_a_new_one_and_leaves_the_old_one(capsys: pytest.CaptureFixture[str]) -> None:
    api = MadeUpApi(resource(DONE))
    assert ran(api, ["rerun", "clean-web"]) == 0
    assert api.objects["curatorpipelines", "clean-web"] == resource(DONE)
    made = api.objects["curatorpipelines", "clean-web-2"]
    assert made["spec"] == SPEC
    assert "status" not in made
    assert capsys.readouterr().out.startswith("team-a/clean-web-2 created\n")


def test_rerun_takes_the_code_along_in_a_config_map_of_its_own(manifest: Path) -> None:
    api = MadeUpApi()
    ran(api, ["submit", "clean.yaml", "--code", "src"])
    api.objects["curatorpipelines", "clean-web"]["status"] = DONE
    assert ran(api, ["rerun", "clean-web"]) == 0
    held = [obj for (plural, _), obj in api.objects.items() if plural == "configmaps"]
    assert [one["metadata"]["ownerReferences"][0]["name"] for one in held] == [
        "clean-web",
        "clean-web-2",
    ]
    assert held[0]["binaryData"] == held[1]["binaryData"]


def test_rerun_of_what_has_not_ended_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(MadeUpApi(resource(running())), ["rerun", "clean-web"]) == 2
    assert "is Running, and only what has ended is run again" in capsys.readouterr().err


def test_rerun_under_a_name_that_is_taken_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    api = MadeUpApi(resource(DONE), resource(DONE, name="other"))
    assert ran(api, ["rerun", "clean-web", "--name", "other"]) == 2
    assert "team-a/other exists" in capsys.readouterr().err


def test_names_of_reruns_count_on() -> None:
    old = resource(DONE)
    assert next_name(old, {"clean-web"}) == "clean-web-2"
    assert next_name(old, {"clean-web", "clean-web-2"}) == "clean-web-3"
    rerun = again(old, "clean-web-2")
    assert next_name(rerun, {"clean-web", "clean-web-2"}) == "clean-web-3"
    # A number of the user's own is not counted on.
    assert next_name(resource(DONE, name="crawl-2024"), set()) == "crawl-2024-2"


def test_a_name_stays_within_what_a_pipeline_may_be_called() -> None:
    name = next_name(resource(DONE, name="a" * 38 + "-b"), set())
    assert (name, len(name)) == ("a" * 38 + "-2", 40)


def test_rerun_of_a_suspended_and_ended_pipeline_runs() -> None:
    old = resource(DONE)
    old["spec"]["suspend"] = True
    assert "suspend" not in again(old, "clean-web-2")["spec"]
