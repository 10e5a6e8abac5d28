"""What `curator submit --code` packs, on a real Ray head: imported, with its files, and logged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from curator_api.load import parse_manifest
from curator_executor.cli.kube import code_archive
from curator_operator.desired import submission
from curator_operator.desired.attempt import Attempt
from curator_operator.desired.pods import TMP_FOLDER, head_template
from curator_operator.settings import OperatorSettings
from tests.cluster.conftest import TOKEN_KEY
from tests.cluster.processes import Program, eventually
from tests.cluster.ray_head import RayHead
from tests.unit.operator.desired.scenarios import pipeline

STAGES = """
from pathlib import Path

from curator_executor import DocumentBatch, ProcessingStage

from my_team.deeper.words import WORDS


class Count(ProcessingStage):
    name = "count"

    def process(self, task):
        beside = Path(__file__).with_name("beside.txt").read_text()
        below = Path("my_team/beside.txt").read_text()
        print(f"counted with {beside} and {below} and {WORDS}", flush=True)
        Path(self.path).write_text(f"{beside} {below} {WORDS}")
        return task

    def __init__(self, path):
        self.path = path
"""
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayHead]:
    """A real Ray head whose jobs' `python` is this one, in whose environment the executor is."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "head"
    folder.mkdir()
    with RayHead(folder) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with nothing but one package in it, as most are."""
    package = tmp_path / "src" / "my_team"
    (package / "deeper").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "deeper/__init__.py": "",
        "deeper/words.py": "WORDS = 'words'\n",
        "stages.py": STAGES,
        "beside.txt": "beside",
    }.items():
        (package / name).write_text(text)
    return tmp_path / "src"


def manifest(tmp_path: Path) -> dict[str, Any]:
    documents = tmp_path / "in.jsonl"
    documents.write_text('{"id": "1", "text": "some words"}\n')
    group = {"name": "cpu", "maxReplicas": 1, "resources": {"cpus": 1, "memory": "1Gi"}}
    return {
        "apiVersion": "curator.dev/v1alpha1",
        "kind": "CuratorPipeline",
        "metadata": {"name": "clean-web"},
        "spec": {
            "stages": [
                {
                    "name": "read",
                    "class": "curator_executor.stages.JsonlReader",
                    "args": {"paths": str(documents), "id_field": "id"},
                },
                {
                    "name": "count",
                    "class": "my_team.stages.Count",
                    "args": {"path": str(tmp_path / "out.txt")},
                },
            ],
            "cluster": {"workerGroups": [group]},
        },
    }


@pytest.mark.timeout(300)
def test_code_is_unpacked_by_ray_and_the_drivers_log_is_where_the_head_prints_it_from(
    head: RayHead, source: Path, tmp_path: Path
) -> None:
    """The pods' mounts are played: the file lies where the manifest is made to say."""
    given = code_archive.with_code(manifest(tmp_path), "clean-web-code")
    assert given["spec"]["runtimeEnv"]["working_dir"] == code_archive.WORKING_DIR
    mounted = tmp_path / code_archive.KEY
    mounted.write_bytes(code_archive.pack(source).data)
    given["spec"]["runtimeEnv"]["working_dir"] = f"file://{mounted}"
    (tmp_path / "pipeline.yaml").write_text(json.dumps(given))
    spec = parse_manifest(json.dumps(given)).spec
    body = submission(pipeline(), spec, 1)
    # Without the endpoint, whose result somebody would have to fetch.
    body["entrypoint"] = f"python -m curator_executor run {tmp_path / 'pipeline.yaml'}"
    name = str(body["submission_id"])
    printer = log_printer(head, spec, tmp_path)
    assert head.ask("/api/jobs/", body)[0] == 200

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(head.ask(f"/api/jobs/{name}")[1])
        return found if found["status"] in ENDED else None

    job = eventually(ended, "the job ends", 200)
    log = json.loads(head.ask(f"/api/jobs/{name}/logs")[1])["logs"]
    assert job["status"] == "SUCCEEDED", log
    assert (tmp_path / "out.txt").read_text() == "beside beside words"
    said = "counted with beside and beside and words"
    printer.wait_until(lambda: said in printer.log_text(), f"prints {said}", 30)
    # In a container the kernel ends what the first process leaves.
    left = psutil.Process(printer.pid).children(recursive=True)
    assert printer.stop() == 0
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def log_printer(head: RayHead, spec: Any, directory: Path) -> Program:
    """The program of the head pod's container for the log, at this head's files."""
    template = head_template(Attempt(pipeline(), 1), spec, OperatorSettings(token_key=TOKEN_KEY))
    (container,) = [one for one in template["spec"]["containers"] if one["name"] == "driver-log"]
    shell, *rest = container["command"]
    files = f"{head._files.name}/ray"
    here = [part.replace(TMP_FOLDER, files) for part in rest]
    found = subprocess.run(["which", shell], capture_output=True, text=True, check=True)
    return Program("driver-log", [found.stdout.strip(), *here], directory)
