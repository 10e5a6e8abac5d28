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


NVML = """
import os

class NVMLError(Exception):
    pass

def nvmlInit():
    if "GPU_BYTES" not in os.environ:
        raise NVMLError("no driver")

nvmlShutdown = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = lambda at: at

class nvmlDeviceGetMemoryInfo:
    def __init__(self, handle):
        self.total = int(os.environ["GPU_BYTES"])
"""


def test_gpu_memory_is_a_share_of_the_gpu_on_the_workers_own_node(
    tmp_path: Path, marks: Marks
) -> None:
    """20 GB: a quarter of a GPU that says of itself that it has 80; all of one of which the
    manifest says 24; and where neither says anything, what 24 GB would make of it. The library that
    asks the driver is a stand-in, as no GPU is here.
    """
    (tmp_path / "pynvml.py").write_text(NVML)
    body = """
    from curator_executor.core.types import Node, NodeGroup
    from curator_executor.runtime.environment import WorkerEnvironment
    from curator_executor.runtime.run import RunContext, run_stages
    from curator_executor.runtime.settings import RunSettings

    EXPECTED = 6
    GB = 2**30

    class InMemory(OnGpu):
        def __init__(self, gb):
            self.name, self.workers, self.resources = "embed", None, Resources(gpu_memory_gb=gb)

    os.environ["PYTHONPATH"] = f"{os.getcwd()}:{os.environ['PYTHONPATH']}"
    kinds = {"h100": 80 * GB, "l4": 16 * GB, "other": None}
    for kind, size in kinds.items():
        os.environ.pop("GPU_BYTES", None)
        if size:
            os.environ["GPU_BYTES"] = str(size)
        cluster.add_node(num_cpus=8, num_gpus=1, labels=group(kind))
    groups = tuple(NodeGroup(Node("", 8.0, 1.0, group=kind, gpu_memory=said), 1)
                   for kind, said in {"h100": 0, "l4": 24 * GB, "other": 0}.items())
    context = RunContext(environment=WorkerEnvironment(worker_groups=groups))
    settings = RunSettings.from_config({"cpu_allocation_percentage": 1.0})
    outcome = run_stages([InMemory(20)], numbers(60), settings, context=context)
    print("DONE", sorted(values(outcome.tasks)) == list(range(60)))
    for each in ray.nodes():
        print("KIND", each["NodeID"], each["Labels"].get("curator.dev/worker-group"))
    """
    said = on_cluster(STAGES.strip() + "\n" + dedent(body), 0, tmp_path, marks)
    assert "DONE True" in said
    kinds = dict(line.split()[1:] for line in said.splitlines() if line.startswith("KIND"))
    assert Counter(kinds[node] for _, node, _ in places(marks)) == {"h100": 4, "l4": 1, "other": 1}
