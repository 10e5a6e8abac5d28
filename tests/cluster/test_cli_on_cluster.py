"""`curator submit`, `watch`, `logs` and `rerun` on a real API server; the test is the operator."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from curator_executor.cli.kube import code_archive
from tests.cluster import binaries
from tests.cluster.cli_pipelines import BEGAN, STARTING, Pipelines, over, running
from tests.cluster.control_plane import ControlPlane
from tests.cluster.cutting_relay import CuttingRelay
from tests.cluster.processes import Program, eventually, free_port
from tests.cluster.test_operator_process import PIPELINE


@pytest.fixture
def pipelines(
    control_plane: ControlPlane, curator_crd: None, namespace: str, tmp_path: Path
) -> Iterator[Pipelines]:
    made = Pipelines(control_plane, namespace, tmp_path)
    yield made
    made.end()


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "clean.yaml"
    path.write_text(yaml.safe_dump(PIPELINE))
    return str(path)


def shows(program: Program, text: str) -> None:
    program.wait_until(lambda: text in program.log_text(), f"shows {text}", 30)


def lines(program: Program) -> list[str]:
    return [line for line in program.log_text().splitlines() if " progress " in line]


def test_a_manifest_becomes_a_pipeline(
    pipelines: Pipelines, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipelines.curator("submit", manifest) == 0
    assert pipelines.get()["spec"]["stages"] == PIPELINE["spec"]["stages"]  # type: ignore[index]
    assert capsys.readouterr().out.startswith(f"{pipelines.namespace}/clean created\n")


def test_a_trial_makes_nothing(pipelines: Pipelines, manifest: str) -> None:
    assert pipelines.curator("submit", manifest, "--dry-run") == 0
    found = pipelines.control_plane.kubectl("get", "cpl", "-n", pipelines.namespace, "-o", "name")
    assert found == ""


def test_a_name_that_runs_is_refused_and_one_that_has_ended_is_replaced(
    pipelines: Pipelines, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines.make(status=running(5))
    before = pipelines.get()["metadata"]["uid"]
    assert pipelines.curator("submit", manifest, "--replace") == 2
    assert "exists and is Running" in capsys.readouterr().err
    pipelines.say(over("StageFailed"))
    assert pipelines.curator("submit", manifest) == 2
    assert "--replace" in capsys.readouterr().err
    assert pipelines.curator("submit", manifest, "--replace") == 0
    after = pipelines.get()
    assert after["metadata"]["uid"] != before
    assert "status" not in after


def test_a_namespace_that_is_not_there_is_told(
    pipelines: Pipelines, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines.namespace = "nowhere"
    assert pipelines.curator("submit", manifest) == 2
    assert 'namespaces "nowhere" not found: see --namespace' in capsys.readouterr().err


def code_folder(directory: Path, name: str = "stages.py", content: bytes = b"A = 1\n") -> Path:
    path = directory / "src" / "my_team" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return directory / "src"


def config_maps(pipelines: Pipelines) -> list[Any]:
    core = client.CoreV1Api(pipelines.control_plane.api)
    found = core.list_namespaced_config_map(pipelines.namespace, label_selector=code_archive.LABEL)
    return list(found.items)


def test_code_is_owned_by_its_pipeline_and_goes_with_it(
    pipelines: Pipelines, manifest: str, tmp_path: Path
) -> None:
    folder = code_folder(tmp_path)
    assert pipelines.curator("submit", manifest, "--code", str(folder)) == 0
    made = pipelines.get()
    (held,) = config_maps(pipelines)
    assert [one.uid for one in held.metadata.owner_references] == [made["metadata"]["uid"]]
    (volume,) = made["spec"]["cluster"]["volumes"]
    assert volume["configMap"]["name"] == held.metadata.name
    packed = tmp_path / "code.zip"
    packed.write_bytes(base64.b64decode(held.binary_data["code.zip"]))
    assert zipfile.ZipFile(packed).namelist() == ["code/my_team/stages.py"]
    pipelines.control_plane.kubectl("delete", "cpl", "clean", "-n", pipelines.namespace)
    eventually(lambda: not config_maps(pipelines), "the code goes with its pipeline")


def test_the_most_code_that_is_taken_is_the_most_that_the_server_takes(
    pipelines: Pipelines, manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the byte: what one byte more would be is refused here, with its size."""
    size = code_archive.MOST_BYTES - 1000
    noise = os.urandom(code_archive.MOST_BYTES)
    while (free := code_archive.MOST_BYTES - packed_size(tmp_path, noise[:size])) > 0:
        size += free
    assert free == 0
    assert pipelines.curator("submit", manifest, "--code", str(tmp_path / "src")) == 0
    code_folder(tmp_path, "noise.bin", noise[: size + 1])
    assert pipelines.curator("submit", manifest, "--code", str(tmp_path / "src")) == 2
    assert "a ConfigMap holds at most 1.00 MiB" in capsys.readouterr().err


def packed_size(directory: Path, content: bytes) -> int:
    folder = code_folder(directory, "noise.bin", content)
    return len(code_archive.pack(folder, most_bytes=2 * code_archive.MOST_BYTES).data)


@pytest.mark.parametrize(
    ("reason", "code"), [("Succeeded", 0), ("DeadLetters", 3), ("StageFailed", 1)]
)
def test_a_watch_shows_each_change_and_ends_with_the_pipeline(
    pipelines: Pipelines, reason: str, code: int
) -> None:
    pipelines.make()
    program = pipelines.watch()
    shows(program, "phase=New")
    pipelines.say(STARTING)
    shows(program, "waits: Unschedulable: head pod clean-head: no node takes it")
    pipelines.say(running(5))
    shows(program, "inputs=5/1000")
    pipelines.say(running(165))
    shows(program, "inputs=165/1000 percent=16% inputs_per_s=2.50")
    pipelines.say(over(reason))
    assert program.wait(30) == code
    assert len(lines(program)) == 5
    assert lines(program)[-1].endswith("— said at the end")


def test_a_watch_goes_on_after_its_connection_was_cut(pipelines: Pipelines, tmp_path: Path) -> None:
    pipelines.make(status=running(5))
    with CuttingRelay(pipelines.control_plane.kubeconfig) as relay:
        program = pipelines.watch(relay.write_kubeconfig(tmp_path / "relayed"))
        shows(program, "inputs=5/1000")
        relay.cut()
        shows(program, "the API server was lost")
        # Nothing is missed of what happens meanwhile.
        pipelines.say(running(165))
        shows(program, "inputs=165/1000")
        relay.cut()
        pipelines.say(over("Succeeded"))
        assert program.wait(60) == 0
        assert relay.connections == 3


def test_a_pipeline_that_is_deleted_ends_the_watch(pipelines: Pipelines) -> None:
    pipelines.make(status=running(165))
    program = pipelines.watch()
    shows(program, "inputs=165/1000")
    pipelines.control_plane.kubectl("delete", "cpl", "clean", "-n", pipelines.namespace)
    assert program.wait(30) == 1
    assert "clean was deleted while it was watched; it was Running, 16% done" in program.log_text()


def test_ctrl_c_ends_the_watch_and_leaves_the_pipeline(pipelines: Pipelines) -> None:
    pipelines.make(status=running(165))
    program = pipelines.watch()
    shows(program, "inputs=165/1000")
    before = pipelines.get()
    program.signal(signal.SIGTERM)
    assert program.wait(30) == 130
    assert pipelines.get() == before


def test_a_name_that_is_not_there_is_told_with_the_near_one_or_the_other_namespace(
    pipelines: Pipelines, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines.make()
    assert pipelines.curator("watch", "claen") == 2
    assert "Did you mean clean?" in capsys.readouterr().err
    own, pipelines.namespace = pipelines.namespace, "kube-public"
    assert pipelines.curator("watch", "clean") == 2
    said = capsys.readouterr().err
    assert "there is no pipeline clean in namespace kube-public, but in namespace" in said
    pipelines.namespace = own


def test_without_the_definition_the_way_to_get_it_is_told(
    pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real server's answer to a kind that it does not know."""
    unknown = ("curator.example/v1", "curatorpipelines")
    monkeypatch.setattr("curator_executor.cli.kube.watching.PIPELINES", unknown)
    assert pipelines.curator("watch", "clean") == 2
    said = capsys.readouterr().err
    assert "knows no CuratorPipelines: install the operator with its definition, helm" in said


def test_what_is_not_allowed_is_told_with_verb_and_resource(
    pipelines: Pipelines, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = pipelines.control_plane.service_account_kubeconfig(pipelines.namespace, "default")
    assert pipelines.curator("submit", manifest, kubeconfig=nobody) == 2
    said = capsys.readouterr().err
    assert "not allowed to create the pipeline: curatorpipelines.curator.dev is forbidden" in said
    assert 'cannot create resource "curatorpipelines"' in said


def changed_kubeconfig(pipelines: Pipelines, change: Callable[[Any], None]) -> Path:
    config = yaml.safe_load(pipelines.control_plane.kubeconfig.read_text())
    change(config)
    path = pipelines.directory / "changed"
    path.write_text(yaml.safe_dump(config))
    return path


def test_credentials_that_are_not_taken_any_more_are_told(
    pipelines: Pipelines, capsys: pytest.CaptureFixture[str]
) -> None:
    def expire(config: Any) -> None:
        config["users"][0]["user"]["token"] = "expired"

    assert (
        pipelines.curator("watch", "clean", kubeconfig=changed_kubeconfig(pipelines, expire)) == 2
    )
    assert "does not accept your credentials" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_told_at_once(
    pipelines: Pipelines, capsys: pytest.CaptureFixture[str]
) -> None:
    def lead_astray(config: Any) -> None:
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"

    config = changed_kubeconfig(pipelines, lead_astray)
    assert pipelines.curator("watch", "clean", kubeconfig=config) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "gives no answer" in line
    assert "Connection refused" in line


def test_rerun_makes_another_one_of_what_has_ended_with_its_code(
    pipelines: Pipelines, manifest: str, tmp_path: Path
) -> None:
    folder = code_folder(tmp_path)
    assert pipelines.curator("submit", manifest, "--code", str(folder)) == 0
    assert pipelines.curator("rerun", "clean") == 2
    pipelines.say(over("StageFailed"))
    assert pipelines.curator("rerun", "clean") == 0
    made = pipelines.get("clean-2")
    assert "status" not in made
    owners = {one.metadata.owner_references[0].name: one for one in config_maps(pipelines)}
    assert set(owners) == {"clean", "clean-2"}
    (volume,) = made["spec"]["cluster"]["volumes"]
    assert volume["configMap"]["name"] == owners["clean-2"].metadata.name
    assert owners["clean"].binary_data == owners["clean-2"].binary_data


def head_pod(pipelines: Pipelines) -> None:
    """A head pod as KubeRay makes it of what the operator asks for, without a node."""
    container = {"name": "ray-head", "image": "any"}
    labels = {
        "curator.dev/pipeline": "clean",
        "curator.dev/attempt": "1",
        "ray.io/node-type": "head",
    }
    pod = {
        "metadata": {"name": "clean-head", "labels": labels},
        "spec": {"containers": [container, {"name": "driver-log", "image": "any"}]},
    }
    core = client.CoreV1Api(pipelines.control_plane.api)
    core.create_namespaced_pod(pipelines.namespace, pod)  # type: ignore[arg-type]


def test_logs_follow_the_head_pod_from_before_it_runs(
    pipelines: Pipelines, capsys: pytest.CaptureFixture[str]
) -> None:
    """No node, so the log is empty; that it is asked for in the right place is what counts."""
    pipelines.make(status=STARTING)
    assert pipelines.curator("logs", "clean") == 1
    assert "attempt 1 of" in capsys.readouterr().err
    head_pod(pipelines)
    assert pipelines.curator("logs", "clean") == 1
    assert "head pod clean-head has not started yet: waits: Unschedulable" in (
        capsys.readouterr().err
    )
    core = client.CoreV1Api(pipelines.control_plane.api)
    state = {"running": {"startedAt": BEGAN}}
    status = {
        "name": "driver-log",
        "image": "any",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": state,
    }
    core.patch_namespaced_pod_status(
        "clean-head", pipelines.namespace, {"status": {"containerStatuses": [status]}}
    )
    assert pipelines.curator("logs", "clean", "-f", "--tail", "5") == 0
    assert capsys.readouterr().out == ""


def test_kubectl_finds_the_plugin_on_the_path(pipelines: Pipelines) -> None:
    pipelines.make(status=over("Succeeded"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        [binaries.find("kubectl"), "curator", "watch", "-n", pipelines.namespace, "clean"],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(pipelines.control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "phase=Succeeded" in ran.stdout
