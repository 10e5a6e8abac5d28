"""What stages ask for, and what they get. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from curator_executor.core.allocation.room import PLENTY, Load
from curator_executor.core.types import Need, NodeId


@dataclass(frozen=True, slots=True)
class Demand:
    """A stage that wants workers.

    Attributes:
        need: resources of one worker.
        cost_s: worker seconds per pipeline input.
        least: workers that it has before any other gets more.
        most: workers beyond which more would have nothing to do, or are not allowed.
        groups: names of the worker groups where it may run; empty means anywhere.
        is_pinned: it has `most` workers for good, and what is faster by far has nothing from that.
            One that has no more because little is left to do does not hold others up.
    """

    need: Need
    cost_s: float
    least: int = 0
    most: int = PLENTY
    groups: tuple[str, ...] = ()
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class Allocation:
    """Workers by stage, in all and on each node.

    Attributes:
        counts: workers of each stage.
        places: workers of each stage on each node, by the node's id.
        rate: inputs a second that these let through.
    """

    counts: tuple[int, ...]
    places: dict[NodeId, Load]
    rate: float
