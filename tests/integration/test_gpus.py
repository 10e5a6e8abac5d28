"""Workers with GPUs on real Ray nodes: each on the node and with the share that was planned."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.integration.marks import Marks
from tests.integration.test_nodes import dedent, on_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STAGES = """
from curator_executor import ProcessingStage, Resources

class OnGpu(ProcessingStage):
    def __init__(self, name, gpus, workers):
        self.name, self.workers = name, workers
        self.resources = Resources(cpus=0.5, gpus=gpus)

    def num_workers(self):
        return self.workers

    def setup(self, worker_metadata=None):
        mine = ",".join(map(str, ray.get_gpu_ids()))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == mine
        marks.log(f"{self.resources.gpus} {node()} {mine}")

    def process(self, task):
        marks.wait_for_lines("", EXPECTED)
        return task
"""


def places(marks: Marks) -> list[tuple[float, str, str]]:
    """Share, node and GPUs of each worker."""
    found = [line.split() for line in marks.lines()]
    return [(float(share), node, devices) for share, node, devices in found]


def test_shares_that_need_every_device_all_find_one(tmp_path: Path, marks: Marks) -> None:
    """3.8 of 4 GPUs: unless each 0.6 lies beside a 0.4, or the 0.4 beside each other, the whole one
    finds no free device. Tasks wait until all seven workers are there.
    """
    body = """
    EXPECTED = 7
    cluster.add_node(num_cpus=8, num_gpus=4)
    stages = [OnGpu("small", 0.4, 4), OnGpu("large", 0.6, 2), OnGpu("whole", 1, 1)]
    outcome = run(stages, numbers(9), cpu_allocation_percentage=1.0)
    print("DONE", sorted(values(outcome.tasks)) == list(range(9)))
    """
    assert "DONE True" in on_cluster(STAGES.strip() + "\n" + dedent(body), 0, tmp_path, marks)
    taken: defaultdict[str, float] = defaultdict(float)
    for share, _, device in places(marks):
        taken[device] += share
    assert len(marks.lines()) == 7
    assert max(taken.values()) <= 1.0
    assert taken[next(device for share, _, device in places(marks) if share == 1)] == 1.0


def test_stages_fill_the_gpus_of_the_nodes_of_their_groups(tmp_path: Path, marks: Marks) -> None:
    body = """
    EXPECTED = 5
    kinds = {"h100": 2, "l4": 3}
    for kind, gpus in kinds.items():
        cluster.add_node(num_cpus=4, num_gpus=gpus, labels=group(kind))
    by_id = {each["NodeID"]: each["Labels"].get("curator.dev/worker-group") for each in ray.nodes()}
    stages = [OnGpu(kind, 1, None) for kind in kinds]
    for stage in stages:
        stage.xenna_stage_spec = lambda stage=stage: {"worker_groups": [stage.name]}
    outcome = run(stages, numbers(40), cpu_allocation_percentage=1.0)
    print("DONE", sorted(values(outcome.tasks)) == list(range(40)))
    print("GROUPS", by_id)
    """
    said = on_cluster(STAGES.strip() + "\n" + dedent(body), 0, tmp_path, marks)
    assert "DONE True" in said
    nodes = Counter(node for _, node, _ in places(marks))
    assert sorted(nodes.values()) == [2, 3]
    assert len(set(marks.lines())) == 5
