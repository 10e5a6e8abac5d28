"""Nodes that join and leave while a run goes on, and stages that run in some of them only.

Each test starts a cluster of several Ray nodes on this machine, in a process of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.marks import Marks
from tests.integration.scripts import run_script

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CLUSTER = '''
import logging, os
from concurrent.futures import ThreadPoolExecutor
import ray
from ray.cluster_utils import Cluster
from curator_executor.core.errors import CuratorError
from tests.integration.marks import Marks
from tests.integration.pieces import Apply, number, numbers, run, values

marks = Marks({marks!r})

def node():
    return ray.get_runtime_context().get_node_id()

def while_running(stages, tasks, change, **options):
    """The run's outcome; nodes come and go on the main thread, as Ray wants it."""
    with ThreadPoolExecutor() as executor:
        going = executor.submit(run, stages, tasks, cpu_allocation_percentage=1.0, **options)
        change()
        return going.result()

def group(name):
    return {{"curator.dev/worker-group": name}}

cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": {cores},
                                                        "include_dashboard": False}})
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
try:
{body}
finally:
    ray.shutdown()
    cluster.shutdown()
'''


def on_cluster(body: str, cores: int, directory: Path, marks: Marks) -> str:
    """What a script prints that runs this with `cores` cores on the head."""
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    code = CLUSTER.format(marks=marks.directory, cores=cores, body=indented)
    done = run_script(code, directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_node_that_joins_while_a_run_goes_on_is_used(tmp_path: Path, marks: Marks) -> None:
    """Tasks wait until one of them has run on the new node, so the run ends only if it is used."""
    body = """
    def work(task):
        if marks.first(node()):
            marks.log(node())
        marks.set("running")
        marks.wait_for_lines("", 2)
        return task

    def join():
        marks.wait("running")
        cluster.add_node(num_cpus=1)

    outcome = while_running([Apply(work)], numbers(40), join)
    print("DONE", sorted(values(outcome.tasks)) == list(range(40)))
    """
    assert "DONE True" in on_cluster(dedent(body), 1, tmp_path, marks)
    assert len(marks.lines()) == 2


def test_node_that_leaves_while_a_run_goes_on_loses_nothing(tmp_path: Path, marks: Marks) -> None:
    """1. Two workers are in the middle of a task on a node. 2. The node is killed. 3. What they
    held is done elsewhere, once, and no batch is blamed.
    """
    body = """
    head = node()
    other = cluster.add_node(num_cpus=2)

    def work(task):
        if node() != head:
            marks.log("elsewhere")
            marks.wait("never")
        return task

    def leave():
        marks.wait_for_lines("elsewhere", 2)
        cluster.remove_node(other, allow_graceful=False)

    stages = [Apply(work, name, spec={"num_workers_per_node": 1})
              for name in ("first", "second")]
    outcome = while_running(stages, numbers(400), leave, fusion=False)
    print("DONE", sorted(values(outcome.tasks)) == list(range(400)))
    print("DEATHS", sum(stage.workers_died for stage in outcome.report.stages))
    print("LETTERS", outcome.report.dead_letters)
    """
    said = on_cluster(dedent(body), 2, tmp_path, marks)
    assert "DONE True" in said
    assert "DEATHS 2" in said
    assert "LETTERS []" in said


def test_stages_run_in_their_worker_groups_only(tmp_path: Path, marks: Marks) -> None:
    """One group has our label, one has the label that Ray gives to KubeRay's pods by itself."""
    body = """
    small = cluster.add_node(num_cpus=2, labels=group("small"))
    os.environ["RAY_NODE_TYPE_NAME"] = "large"
    cluster.add_node(num_cpus=2)
    names = {each["NodeID"]: each["Labels"].get("curator.dev/worker-group")
             or each["Labels"].get("ray.io/node-group") for each in ray.nodes()}
    print("NODES", sorted(str(name) for name in names.values()))

    def where(task):
        return number((*task.data, names[node()]) if isinstance(task.data, tuple)
                      else (names[node()],))

    stages = [Apply(where, "1", spec={"worker_groups": ["small"]}),
              Apply(where, "2", spec={"worker_groups": ["large"]}),
              Apply(where, "3", spec={"worker_groups": ["large", "small"]})]
    outcome = run(stages, numbers(60), cpu_allocation_percentage=1.0)
    found = set(values(outcome.tasks))
    print("WHERE", {value[0] for value in found}, {value[1] for value in found},
          {value[2] for value in found} <= {"small", "large"})
    try:
        run([Apply(where, "lost", spec={"worker_groups": ["medium"]})], numbers(1))
    except CuratorError as error:
        print("REFUSED", type(error).__name__, error)
    """
    said = on_cluster(dedent(body), 2, tmp_path, marks)
    assert "NODES ['None', 'large', 'small']" in said
    assert "WHERE {'small'} {'large'} True" in said
    assert 'REFUSED DoesNotFit stage "lost": runs on the worker groups medium only' in said


def dedent(body: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in body.splitlines())
