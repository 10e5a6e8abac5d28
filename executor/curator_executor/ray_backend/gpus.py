"""How much memory the GPUs of each node have: from the manifest, or asked on the node itself.

Called by `pool` where a stage says `gpu_memory_gb`; the driver's own GPU, if it has any, says
nothing about where workers will be.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_executor.core.types import Node, NodeId

log = logging.getLogger("curator_executor.ray")
# A node answers as soon as it has started a process for it. One that has not by then is used as if
# nobody knew.
ANSWERS_WITHIN_S = 30.0


def device_bytes() -> int:
    """Memory of the smallest NVIDIA GPU of this machine, in bytes; 0 where there is none to ask."""
    try:
        import pynvml
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())
        ]
        return min((int(pynvml.nvmlDeviceGetMemoryInfo(each).total) for each in handles), default=0)
    finally:
        pynvml.nvmlShutdown()


class GpuMemory:
    """Adds to nodes what memory their GPUs have.

    Args:
        read: reads the nodes that are alive.
        by_group: memory of one GPU by worker group, bytes, where the manifest says it; nodes of
            other groups are asked.
    """

    def __init__(
        self, read: Callable[[float], tuple[Node, ...]], by_group: Mapping[str, int]
    ) -> None:
        self._read = read
        self._by_group = by_group
        self._known: dict[NodeId, int] = {}
        self._asked: dict[NodeId, tuple[Any, float]] = {}
        self._is_first = True

    def read(self, cpu_share: float) -> tuple[Node, ...]:
        """Nodes that are alive and known; one that has been asked is left out until it answers.

        The first time, all answers are waited for.
        """
        nodes = self._read(cpu_share)
        for node in nodes:
            if node.gpus and not self._by_group.get(node.group) and not self._is_known(node):
                self._ask(node)
        asked = [ref for ref, _ in self._asked.values()]
        if self._is_first and asked:
            ray.wait(asked, num_returns=len(asked), timeout=ANSWERS_WITHIN_S)
        self._is_first = False
        self._take_answers({node.id for node in nodes})
        return tuple(self._with_memory(node) for node in nodes if node.id not in self._asked)

    def _is_known(self, node: Node) -> bool:
        return node.id in self._known or node.id in self._asked

    def _ask(self, node: Node) -> None:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        ask: Any = ray.remote(device_bytes).options(
            num_cpus=0, scheduling_strategy=there, max_retries=0, name="memory of GPUs"
        )
        self._asked[node.id] = (ask.remote(), time.monotonic())

    def _take_answers(self, alive: set[NodeId]) -> None:
        for node, (ref, since) in list(self._asked.items()):
            there, _ = ray.wait([ref], timeout=0)
            if not there and node in alive and time.monotonic() - since < ANSWERS_WITHIN_S:
                continue
            self._known[node] = self._answer(node, there)
            del self._asked[node]

    def _answer(self, node: NodeId, there: Sequence[Any]) -> int:
        try:
            found = int(ray.get(there[0])) if there else 0
        except ray.exceptions.RayError as error:
            log.warning("node %s did not say how much memory its GPUs have: %s", node, error)
            return 0
        if found:
            log.info("node=%s gpu_memory_gb=%.1f", node, found / 2**30)
        else:
            log.warning(
                "node %s: how much memory its GPUs have is not known; 24 GB are assumed. "
                "spec.cluster.workerGroups[].accelerator.memory says it",
                node,
            )
        return found

    def _with_memory(self, node: Node) -> Node:
        found = self._by_group.get(node.group) or self._known.get(node.id, 0)
        return replace(node, gpu_memory=found) if node.gpus and found else node
