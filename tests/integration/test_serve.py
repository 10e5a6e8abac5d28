"""`curator run --serve` on real sockets: seen from outside from the first second to the last."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor.sinks.jsonl import read_progress
from tests.integration.commands import curator
from tests.integration.endpoints import Served, serving
from tests.integration.marks import Marks
from tests.integration.scripts import alive, family

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
# Far more than a test takes: whoever waits for this to pass has found a bug.
LINGERS = ("--linger", "250")
ENDS_WITHIN_S = 5.0

# Imports nothing of the tests: workers of the shared Ray do not find them.
STAGES = """
import time
from dataclasses import dataclass
from pathlib import Path
from curator_executor import ProcessingStage, Resources, Task


@dataclass
class Number(Task[int]):
    @property
    def num_items(self):
        return 1

    def validate(self):
        return True


class Source(ProcessingStage):
    name = "source"
    resources = Resources(cpus=1.0)

    def process(self, task):
        return [Number("numbers", data=value) for value in range(4)]


class Wait(ProcessingStage):
    def __init__(self, marks, nap_s=0.0):
        self.name = "wait"
        self.resources = Resources(cpus=1.0)
        self.marks = Path(marks)
        self.nap_s = nap_s

    def process(self, task):
        (self.marks / "running").touch()
        time.sleep(self.nap_s)
        while not (self.marks / "go").exists():
            time.sleep(0.01)
        (self.marks / "done").touch()
        return task

    def teardown(self):
        (self.marks / "teardown").touch()


class Refusing(Wait):
    def check(self):
        return "the model is missing"
"""


@pytest.fixture
def folder(tmp_path: Path, marks: Marks) -> Path:
    """A pipeline whose second stage waits for the mark `go`, and where artifacts go."""
    (tmp_path / "serve_stages.py").write_text(STAGES)
    write_manifest(tmp_path, marks)
    return tmp_path


def write_manifest(folder: Path, marks: Marks, wait: str = "Wait", nap_s: float = 0.0) -> None:
    (folder / "pipeline.yaml").write_text(f"""
apiVersion: curator.dev/v1alpha1
kind: CuratorPipeline
metadata: {{name: waiting}}
spec:
  stages:
  - {{name: source, class: serve_stages.Source}}
  - {{name: wait, class: serve_stages.{wait}, args: {{marks: {marks.directory}, nap_s: {nap_s}}}}}
  artifacts: {{uri: "file://{folder}/kept"}}
  execution: {{drainSeconds: 100, fusion: false, cpuAllocationPercent: 25}}
""")


@pytest.fixture
def cluster(on_ray: None) -> str:
    """Address of the Ray that all these tests share."""
    return str(ray.get_runtime_context().gcs_address)


def kept(folder: Path) -> Path:
    [found] = (folder / "kept").iterdir()
    return found


def final(served: Served, token: str = "") -> ProgressSnapshot:
    """The snapshot of the end."""
    ends = ("Succeeded", "Failed", "Cancelled")
    shown = served.wait_for(lambda shot: shot["state"] in ends, token)
    return ProgressSnapshot.model_validate_json(json.dumps(shown))


def test_run_is_seen_from_its_start_to_its_end_and_leaves_its_artifacts(
    folder: Path, marks: Marks, cluster: str
) -> None:
    # The endpoint asks for the token of the cluster; one that needs none does not mind another.
    # Ray's type information lacks the loader.
    loader: Any = vars(ray._raylet)["AuthenticationTokenLoader"]
    token = loader.instance().get_raw_token() or "s3cret"
    environment = {"RAY_ADDRESS": cluster, "RAY_AUTH_TOKEN": token}
    with serving(folder, *LINGERS, **environment) as served:
        assert served.ask("/healthz") == (200, "ok")
        for path, method in (("/progress", "GET"), ("/metrics", "GET"), ("/drain", "POST")):
            assert served.ask(path, method)[0] == 401
            assert served.ask(path, method, token="wrong")[0] == 401
        running = served.wait_for(lambda shot: shot["stages"][1]["running"], token)
        assert (running["pipeline"], running["state"]) == ("waiting", "Running")
        status, metrics = served.ask("/metrics", token=token, header="x-ray-authorization")
        assert status == 200
        assert 'curator_stage_tasks_done_total{pipeline="waiting",stage="source"} 1.0' in metrics
        marks.set("go")
        end = final(served, token)
        fetched = time.monotonic()
        # All was written before the end could be seen.
        files = sorted(path.name for path in kept(folder).iterdir())
        assert served.ended() == 0
        assert time.monotonic() - fetched < ENDS_WITHIN_S, "it lingered after it was fetched"
    assert (end.state, end.inputs_done, end.stages[1].done) == ("Succeeded", 4, 4)
    assert files == ["driver.log", "progress.jsonl", "report.html"]
    assert kept(folder).name == end.run_id
    assert isinstance(list(read_progress(kept(folder) / "progress.jsonl"))[-1], RunReport)
    assert "waiting Succeeded" in (kept(folder) / "driver.log").read_text()


def test_drain_lets_running_calls_end_and_the_run_is_cancelled(
    folder: Path, marks: Marks, cluster: str
) -> None:
    with serving(folder, *LINGERS, RAY_ADDRESS=cluster) as served:
        marks.wait("running")
        assert served.ask("/drain", "POST")[0] == 202
        draining = served.wait_for(lambda shot: shot["state"] == "Draining")
        assert draining["message"] == "drained over HTTP"
        assert served.ask("/drain", "POST")[0] == 202
        assert not marks.is_set("done")
        marks.set("go")
        end = final(served)
        assert served.ended() == 130
    assert (end.state, end.message) == ("Cancelled", "cancelled (drained over HTTP)")
    assert marks.is_set("done")
    assert marks.is_set("teardown")
    assert "curator: cancelled (drained over HTTP)" in (kept(folder) / "driver.log").read_text()


def test_drain_before_the_run_has_begun_cancels_it(
    folder: Path, marks: Marks, cluster: str
) -> None:
    with serving(folder, *LINGERS, RAY_ADDRESS=cluster) as served:
        assert served.ask("/drain", "POST")[0] == 202
        assert final(served).state == "Cancelled"
        assert served.ended() == 130
    assert not marks.is_set("running")


def test_ctrl_c_ends_the_command_in_seconds_though_a_stage_does_not_notice(
    folder: Path, marks: Marks, cluster: str
) -> None:
    write_manifest(folder, marks, nap_s=600.0)
    with serving(folder, "--linger", "0", RAY_ADDRESS=cluster) as served:
        marks.wait("running")
        at = served.interrupt()
        assert served.ended() == 130
        assert time.monotonic() - at < ENDS_WITHIN_S
        assert "curator: cancelled\n" in served.stderr()
        assert "Traceback" not in served.stderr()


def test_sigterm_drains_also_where_ray_was_started_by_the_run(folder: Path, marks: Marks) -> None:
    """Ray takes SIGTERM for itself when it starts: it would end the command at once."""
    with serving(folder, *LINGERS) as served:
        marks.wait("running", 150)
        everyone = family(served.process.pid)
        assert everyone
        served.process.send_signal(signal.SIGTERM)
        served.wait_for(lambda shot: shot["state"] == "Draining")
        marks.set("go")
        assert final(served).message == "cancelled (terminated by a signal)"
        assert served.ended() == 130
        assert alive(everyone) == []
    assert marks.is_set("teardown")


def test_refused_manifest_can_be_read_and_ends_with_2(folder: Path, marks: Marks) -> None:
    write_manifest(folder, marks, wait="Refusing")
    with serving(folder, *LINGERS) as served:
        end = final(served)
        assert served.ended() == 2
    assert (end.state, end.pipeline) == ("Failed", "waiting")
    assert "the model is missing" in end.message
    assert "the model is missing" in (kept(folder) / "driver.log").read_text()


def test_result_that_nobody_fetches_is_served_for_as_long_as_asked(folder: Path) -> None:
    (folder / "pipeline.yaml").write_text("kind: CuratorPipeline\n")
    with serving(folder, "--linger", "0.5") as served:
        assert served.ended() == 2
        assert "at most 0.5 s" in served.stderr()


def test_port_that_is_taken_is_one_clear_error_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = curator("run", "pipeline.yaml", "--serve", address, directory=folder)
    assert ran.returncode == 2
    assert ran.stdout == ""
    [line] = ran.stderr.splitlines()
    assert line.startswith(f"curator: --serve {address}: cannot listen there: Address already in")
