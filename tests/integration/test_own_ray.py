"""Runs in a process of their own: Ctrl-C, who starts and stops Ray, and stages in a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.marks import Marks
from tests.integration.scripts import alive, family, interrupt, run_script, started

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
# On an idle machine it is `drain_s` (3 s) at most, and a second to stop Ray.
CANCELLED_WITHIN_S = 5.0

CANCEL = """
import os, threading, time
import ray
from curator_executor import XennaExecutor
from tests.integration.marks import Marks
from tests.integration.pieces import Apply, numbers, passed_on, values

marks = Marks({marks!r})

def work(task):
    marks.set("running")
    time.sleep({nap})
    return task

stage = Apply(work, "work", setup=lambda _: marks.log(f"setup {{os.getpid()}}"),
              teardown=lambda _: marks.log(f"teardown {{os.getpid()}}"))
{before}
executor = XennaExecutor({{"fusion": False}})
try:
    executor.execute([stage, Apply(passed_on, "after")], numbers(100_000))
except KeyboardInterrupt:
    print("CANCELLED", time.time(), flush=True)
print("RAY", ray.is_initialized())
print("THREADS", [t.name for t in threading.enumerate()
       if t is not threading.main_thread() and not isinstance(t, threading._DummyThread)])
print("AGAIN", sorted(values(executor.execute([Apply(passed_on)], numbers(3)))), flush=True)
"""


def cancelled(code: str, directory: Path, marks: Marks) -> tuple[str, float, list[object]]:
    """Output of the script after Ctrl-C, the seconds to KeyboardInterrupt, and what is left."""
    with started(code, directory) as process:
        marks.wait("running", 120)
        everyone = family(process.pid)
        assert len(everyone) > 3, "no Ray under the script: the check below would see nothing"
        at = interrupt(process)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stdout + stderr
        (line,) = [line for line in stdout.splitlines() if line.startswith("CANCELLED")]
        return stdout, float(line.split()[1]) - at, list(alive(everyone))


def test_ctrl_c_ends_a_run_in_seconds_and_leaves_nothing(tmp_path: Path, marks: Marks) -> None:
    code = CANCEL.format(marks=marks.directory, nap=0.02, before="")
    stdout, took_s, left = cancelled(code, tmp_path, marks)
    assert took_s < CANCELLED_WITHIN_S
    assert left == []
    assert "RAY False" in stdout
    assert "THREADS []" in stdout
    assert "AGAIN [0, 1, 2]" in stdout
    setups = sorted(line.split()[1] for line in marks.lines("setup"))
    assert setups == sorted(line.split()[1] for line in marks.lines("teardown"))
    assert list((tmp_path / "script scratch").glob("curator-run-*")) == []


def test_a_stage_that_does_not_notice_ctrl_c_is_killed(tmp_path: Path, marks: Marks) -> None:
    """It sleeps for a minute; Ray was there before the run and stays."""
    before = "ray.init(num_cpus=2, include_dashboard=False, logging_level='warning')"
    code = CANCEL.format(marks=marks.directory, nap=60, before=before)
    stdout, took_s, left = cancelled(code, tmp_path, marks)
    assert took_s < CANCELLED_WITHIN_S
    assert left == []
    assert "RAY True" in stdout
    assert "AGAIN [0, 1, 2]" in stdout


MAIN = """
from dataclasses import dataclass
from typing import Any
import ray
from curator_executor import Pipeline, ProcessingStage, Resources, Task, XennaExecutor

@dataclass
class Word(Task[str]):
    data: str = ""
    @property
    def num_items(self) -> int:
        return len(self.data)
    def validate(self) -> bool:
        return True

class OddLengthError(ValueError):
    pass

class Shout(ProcessingStage):
    name = "shout"
    resources = Resources(cpus=1.0)
    def process(self, task):
        return Word("words", data=task.data.upper())

class Refuse(ProcessingStage):
    name = "refuse"
    def process(self, task):
        raise OddLengthError(task.data)

if __name__ == "__main__":
    words = [Word("words", data=w) for w in ("a", "bc", "def")]
    for fusion in (True, False):
        tasks = XennaExecutor({"fusion": fusion}).execute([Shout(), Shout()], words)
        assert sorted(t.data for t in tasks) == ["A", "BC", "DEF"], tasks
        assert all(type(t) is Word for t in tasks)
    print("RAY", ray.is_initialized())
    ray.init(num_cpus=1, include_dashboard=False, logging_level="warning")
    address = ray.get_runtime_context().gcs_address
    pipeline = Pipeline("words", stages=[Shout()])
    assert sorted(t.data for t in pipeline.run(initial_tasks=words)) == ["A", "BC", "DEF"]
    try:
        XennaExecutor().execute([Shout(), Refuse()], words)
    except RuntimeError as error:
        print("CAUSE", type(error.__cause__) is OddLengthError)
    print("SAME RAY", ray.is_initialized() and ray.get_runtime_context().gcs_address == address)
"""


def test_tasks_and_stages_of_a_script_run_with_and_without_a_ray_of_its_own(
    tmp_path: Path,
) -> None:
    result = run_script(MAIN, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines() == ["RAY False", "CAUSE True", "SAME RAY True"]
