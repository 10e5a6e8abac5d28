"""`settled`: which of the nodes that are alike gets which load, so that few workers move. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from curator_executor.core.allocation.room import Left, Load, left_of
from curator_executor.core.types import Node, NodeId


def settled(
    places: Mapping[NodeId, Load], nodes: Sequence[Node], running: Mapping[NodeId, Load]
) -> dict[NodeId, Load]:
    """The same loads, on the nodes that have most of them already.

    Args:
        places: a load for each node.
        nodes: what they are; loads change places only among nodes with the same room and group.
        running: workers that are there now; a node that is not named has none.
    """
    alike: dict[tuple[Left, str], list[NodeId]] = {}
    for node in nodes:
        alike.setdefault((left_of(node), node.group), []).append(node.id)
    found: dict[NodeId, Load] = {}
    for mine in alike.values():
        waiting = Counter(places[node] for node in mine)
        empty = (0,) * len(next(iter(waiting)))
        free: list[NodeId] = []
        for name in mine:
            load = running.get(name, empty)
            if waiting[load] > 0:
                waiting[load] -= 1
                found[name] = load
            else:
                free.append(name)
        pairs = sorted(
            (-kept(running.get(name, empty), load), place, load)
            for place, name in enumerate(free)
            for load, count in waiting.items()
            if count
        )
        for _, place, load in pairs:
            if waiting[load] and free[place] not in found:
                waiting[load] -= 1
                found[free[place]] = load
    # The best pair first is not always the best in all.
    return found if moves(found, running) <= moves(places, running) else dict(places)


def kept(running: Load, wanted: Load) -> int:
    """Workers of a node that stay where they are."""
    return sum(map(min, running, wanted))


def moves(places: Mapping[NodeId, Load], running: Mapping[NodeId, Load]) -> int:
    """Workers that have to be started to get from one to the other."""
    return sum(
        sum(load) - (kept(running[node], load) if node in running else 0)
        for node, load in places.items()
    )
