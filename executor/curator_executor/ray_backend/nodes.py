"""Nodes that come and go, and where on them a worker may be.

Called by `pool`. Ray has no public way to be told of nodes, so the loop's own thread looks every
two seconds while it waits anyway; one look costs 0.2 ms of CPU on two nodes (Ray 2.60).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_executor.core.events import Event, NodesChanged, WorkerCreated
from curator_executor.core.types import Node, NodeId, PoolSpec
from curator_executor.ray_backend import cluster

log = logging.getLogger("curator_executor.ray")
LOOK_EVERY_S = 2.0
# Looks may cost this share of a core: with thousands of nodes there are fewer of them.
LOOK_SHARE = 0.001


class NodeWatch:
    """What is known of the nodes, and when to look again.

    Args:
        cpu_share: share of each node's cores that stages may use.
        read: reads the nodes that are alive; given in tests.
        clock: seconds that never go back; given in tests.
        cpu_clock: seconds of CPU that this thread has used; given in tests.
    """

    def __init__(
        self,
        cpu_share: float,
        read: Callable[[float], tuple[Node, ...]] = cluster.read_nodes,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._cpu_share = cpu_share
        self._read = read
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._nodes: tuple[Node, ...] = ()
        self._next_look = 0.0

    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are alive now."""
        began = self._cpu_clock()
        self._nodes = self._read(self._cpu_share)
        cost_s = self._cpu_clock() - began
        self._next_look = self._clock() + max(LOOK_EVERY_S, cost_s / LOOK_SHARE)
        return self._nodes

    def until_look(self, timeout_s: float | None) -> float:
        """How long to wait at most: the time-out, or until the next look if that is sooner."""
        left = max(0.0, self._next_look - self._clock())
        return left if timeout_s is None else min(timeout_s, left)

    def with_news(self, events: list[Event]) -> Sequence[Event]:
        """The events, after `NodesChanged` if a look was due and found a change.

        A worker that has come up on a node that is not known makes a look due.
        """
        known = {node.id for node in self._nodes}
        is_new = any(isinstance(each, WorkerCreated) and each.node not in known for each in events)
        if is_new or self._clock() >= self._next_look:
            return [*self._look(), *events]
        return events

    def _look(self) -> Sequence[Event]:
        before = self._nodes
        try:
            after = self.nodes()
        except Exception as error:  # noqa: BLE001 - the control service may be coming up again
            log.warning("the nodes could not be read, and are taken to be the same: %s", error)
            self._next_look = self._clock() + LOOK_EVERY_S
            return []
        if after == before:
            return []
        there = {node.id for node in before}
        gone = there - {node.id for node in after}
        log.info(
            "nodes joined=%d left=%d there=%d",
            len(after) - len(there) + len(gone),
            len(gone),
            len(after),
        )
        return [NodesChanged(after)]

    def placement(self, pool: PoolSpec, node: NodeId) -> dict[str, Any]:
        """Options of an actor that bring it to a node, or to the worker groups of its pool.

        Where no node was chosen and none has a group, as on a single machine, it may be anywhere.
        A chosen node that others have filled meanwhile, or that has gone, is not insisted on;
        unless elsewhere the worker would need another share of a GPU.
        """
        if node:
            spill = not self._other_share_elsewhere(pool)
            return {
                "scheduling_strategy": NodeAffinitySchedulingStrategy(
                    node, soft=True, _spill_on_unavailable=spill
                )
            }
        if not pool.worker_groups or not any(node.group for node in self._nodes):
            return {}
        first, *others = (
            {key: f"in({','.join(pool.worker_groups)})"} for key in cluster.GROUP_LABELS
        )
        return {
            "label_selector": first,
            "fallback_strategy": [{"label_selector": other} for other in others],
        }

    def _other_share_elsewhere(self, pool: PoolSpec) -> bool:
        with_gpus = {node.gpu_memory for node in self._nodes if node.gpus}
        return pool.need.gpu_memory > 0 and len(with_gpus) > 1
