"""A cluster's autoscaler in virtual time: nodes come for workers that wait, and go when idle.

Called by `pool`. It knows what Ray's knows: which workers wait for resources, what nodes of each
group have, and how many there may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from curator_executor.core.types import Need, Node, NodeGroup

SMALLEST_NUMBER = 1e-9


@dataclass(frozen=True)
class Autoscaling:
    """How a simulated cluster grows. Times in seconds.

    Attributes:
        groups: the nodes that may come.
        boot_s: until a node is there.
        idle_s: after which a node without workers goes.
    """

    groups: tuple[NodeGroup, ...] = ()
    boot_s: float = 30.0
    idle_s: float = 60.0


def fits(node: Node, there: Sequence[Need], need: Need, groups: Sequence[str]) -> bool:
    """Whether a node with these workers has room for one more."""
    return (
        (not groups or node.group in groups)
        and sum(n.cpus for n in there) + need.cpus <= node.cpus + SMALLEST_NUMBER
        and sum(n.gpus for n in there) + need.gpus <= node.gpus + SMALLEST_NUMBER
        and (node.memory <= 0 or sum(n.memory for n in there) + need.memory <= node.memory)
    )


class Autoscaler:
    """Decides which nodes come."""

    def __init__(self, scaling: Autoscaling) -> None:
        self.scaling = scaling
        self.booting: list[Node] = []
        self._made = 0

    def wanted(
        self, waiting: Sequence[tuple[Need, Sequence[str]]], nodes: Sequence[Node]
    ) -> list[Node]:
        """New nodes for workers that wait and will not fit on those that are coming already."""
        new: list[Node] = []
        coming: list[tuple[Node, list[Need]]] = [(node, []) for node in self.booting]
        for need, groups in waiting:
            place = next((at for at in coming if fits(at[0], at[1], need, groups)), None)
            if place is None:
                node = self._new_node(need, groups, [*nodes, *(node for node, _ in coming)])
                if node is None:
                    continue
                new.append(node)
                place = (node, [])
                coming.append(place)
            place[1].append(need)
        self.booting += new
        return new

    def _new_node(self, need: Need, groups: Sequence[str], there: Sequence[Node]) -> Node | None:
        for group in self.scaling.groups:
            count = sum(node.group == group.node.group for node in there)
            if count < group.most and fits(group.node, [], need, groups):
                self._made += 1
                return replace(group.node, id=f"{group.node.group}-{self._made}")
        return None
