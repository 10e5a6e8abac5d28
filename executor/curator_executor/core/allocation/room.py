"""What is left of a node, and which workers fit into it together. Pure; whole numbers only.

Ray counts resources in ten-thousandths, so that is the unit here: sums never drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from curator_executor.core.types import Need, Node, gpu_share

UNIT = 10_000
# A node whose memory is not known refuses nobody for it.
PLENTY = 1 << 62
# What no node has, in whole devices.
NEVER = UNIT << 40

# Workers on one node, by stage.
Load = tuple[int, ...]


class Want(NamedTuple):
    """What one worker takes: cores and GPUs in ten-thousandths, memory in bytes.

    A share below one lies on one device; whole devices lie on one node. Where the memory of devices
    is known, `gpu_memory` says how large a share it is there.
    """

    cpus: int
    gpus: int
    memory: int
    gpu_memory: int = 0

    def gpus_on(self, device_bytes: int) -> int:
        """What it takes of devices that have so much memory; 0: not known."""
        if not (self.gpu_memory and device_bytes):
            return self.gpus
        share = gpu_share(self.gpu_memory, device_bytes)
        return NEVER if share == inf else round(share * UNIT)


class Left(NamedTuple):
    """What is left of a node: cores, memory, untouched devices, and what is left of the others.

    `device_bytes` is the memory of each device, 0 where it is not known.
    """

    cpus: int
    memory: int
    devices: int
    parts: tuple[int, ...] = ()
    device_bytes: int = 0

    def fits(self, want: Want) -> int:
        """Workers of a stage that would fit, if nothing else came."""
        count = PLENTY
        if want.cpus:
            count = self.cpus // want.cpus
        if want.memory:
            count = min(count, self.memory // want.memory)
        gpus = want.gpus_on(self.device_bytes) if want.gpu_memory else want.gpus
        if gpus >= UNIT:
            count = min(count, self.devices // (gpus // UNIT))
        elif gpus:
            on_parts = sum(part // gpus for part in self.parts)
            count = min(count, on_parts + self.devices * (UNIT // gpus))
        return max(0, count)

    def take(self, want: Want, count: int = 1) -> Left:
        """What is left with that many workers of a stage on it; they must fit.

        Shares go to the device on which least is left, so that whole ones stay whole.
        """
        devices, parts = self.devices, self.parts
        gpus = want.gpus_on(self.device_bytes) if want.gpu_memory else want.gpus
        if gpus >= UNIT:
            devices -= count * (gpus // UNIT)
        elif gpus:
            devices, parts = self._share(gpus, count)
        cpus = self.cpus - count * want.cpus
        memory = self.memory - count * want.memory
        return Left(cpus, memory, devices, parts, self.device_bytes)

    def _share(self, share: int, count: int) -> tuple[int, tuple[int, ...]]:
        """Untouched devices and the others, with that many shares taken."""
        devices, parts = self.devices, list(self.parts)
        for at, part in enumerate(parts):  # ascending: the fullest device first
            put = min(count, part // share)
            parts[at] -= put * share
            count -= put
        while count > 0:
            devices -= 1
            put = min(count, UNIT // share)
            parts.append(UNIT - put * share)
            count -= put
        return devices, tuple(sorted(part for part in parts if part))


def want_of(need: Need) -> Want:
    """A worker's need in whole numbers."""
    return Want(round(need.cpus * UNIT), round(need.gpus * UNIT), need.memory, need.gpu_memory)


def left_of(node: Node) -> Left:
    """A node that nobody uses."""
    memory = node.memory if node.memory > 0 else PLENTY
    return Left(round(node.cpus * UNIT), memory, int(node.gpus), device_bytes=node.gpu_memory)


def packing_order(wants: Sequence[Want]) -> list[int]:
    """Stages in the order in which a node is filled: what is hard to place comes first."""
    return sorted(range(len(wants)), key=lambda i: (-wants[i].gpus, -wants[i].cpus, i))


def packed(empty: Left, load: Sequence[int], wants: Sequence[Want]) -> Left | None:
    """What is left of a node with a load on it; None if it does not fit."""
    left = empty
    for i in packing_order(wants):
        if load[i]:
            if left.fits(wants[i]) < load[i]:
                return None
            left = left.take(wants[i], load[i])
    return left
