"""`Room`: what is left on each node while workers are counted, down to the single GPU.

Called by `sizing`, `planning`, `scaling` and `invariants`. Pure; whole numbers only, as Ray counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from curator_executor.core.allocation.room import PLENTY, UNIT, Want, want_of
from curator_executor.core.types import DeviceId, Need, Node, NodeId


class _Place:
    """One node: cores, memory, and how much of each GPU is left."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cpus = round(node.cpus * UNIT)
        self.memory = node.memory if node.memory > 0 else PLENTY
        self.devices = [UNIT] * int(node.gpus)
        self.named: dict[DeviceId, int] = {}

    def chosen(self, want: Want, names: Sequence[DeviceId]) -> list[int] | None:
        """The GPUs that a worker takes; None if the node has no room for it.

        As Ray does where they are not known: a share goes to the fullest GPU that has room for it.
        """
        if self.cpus < want.cpus or self.memory < want.memory:
            return None
        count, share = divmod(want.gpus_on(self.node.gpu_memory), UNIT)
        if not want.gpus:
            return []
        if names:
            taken = [at for at in map(self._number, names) if at is not None]
            return taken if all(self.devices[at] >= (share or UNIT) for at in taken) else None
        if share:
            able = [at for at, left in enumerate(self.devices) if left >= share]
            return [min(able, key=lambda at: self.devices[at])] if able else None
        whole = [at for at, left in enumerate(self.devices) if left == UNIT]
        return whole[:count] if len(whole) >= count else None

    def _number(self, name: DeviceId) -> int | None:
        """Names get numbers as they are met: that of an untouched device."""
        if name not in self.named:
            known = set(self.named.values())
            unknown = [at for at in range(len(self.devices)) if at not in known]
            if not unknown:
                return None
            self.named[name] = max(unknown, key=lambda at: self.devices[at])
        return self.named[name]

    def take(self, want: Want, devices: Sequence[int]) -> None:
        self.cpus -= want.cpus
        self.memory -= want.memory
        for at in devices:
            self.devices[at] -= min(want.gpus_on(self.node.gpu_memory), UNIT)


class Room:
    """What is left on each node; first fit.

    Where no node has a group, as on a single machine, groups are not looked at.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._places = [_Place(node) for node in nodes]
        self._by_id = {node.id: place for node, place in zip(nodes, self._places, strict=True)}
        self._has_groups = any(node.group for node in nodes)
        # Room only shrinks: a node that had none for such a worker never has any again.
        self._first: dict[tuple[Need, tuple[str, ...]], int] = {}

    def place(
        self,
        need: Need,
        groups: Sequence[str] = (),
        node: NodeId | None = None,
        devices: Sequence[DeviceId] = (),
    ) -> Node | None:
        """Take the resources of one worker; None if no node has them.

        Args:
            need: resources of the worker.
            groups: names of the groups where it may be; empty means anywhere.
            node: the only node where it may be, if it is known.
            devices: names of the GPUs that it has there, if they are known. Workers whose GPUs are
                known are to be placed first.
        """
        want = want_of(need)
        if node is not None:
            place = self._by_id.get(node)
            return None if place is None else self._take(place, want, groups, devices)
        key = (need, tuple(groups))
        for at in range(self._first.get(key, 0), len(self._places)):
            found = self._take(self._places[at], want, groups, ())
            if found is not None:
                self._first[key] = at
                return found
        self._first[key] = len(self._places)
        return None

    def _take(
        self, place: _Place, want: Want, groups: Sequence[str], devices: Sequence[DeviceId]
    ) -> Node | None:
        if groups and self._has_groups and place.node.group not in groups:
            return None
        chosen = place.chosen(want, devices)
        if chosen is None:
            return None
        place.take(want, chosen)
        return place.node
