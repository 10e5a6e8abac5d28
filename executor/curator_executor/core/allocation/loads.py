"""How to load one node: what is worth most at given prices, what serves the slowest best. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import mul

from curator_executor.core.allocation.room import UNIT, Left, Load, Want, packed, packing_order

# How many workers of a stage make room at once: all small numbers, of large ones some.
_STEPS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
# A gain below this is rounding.
_GAIN = 1 + 1e-9


def dearest_load(
    empty: Left, wants: Sequence[Want], prices: Sequence[float], most: Sequence[int]
) -> Load:
    """A load whose workers are worth as much together as swaps from greedy ones can reach.

    Args:
        empty: the node.
        wants: what a worker of each stage takes.
        prices: what a worker of each stage is worth.
        most: workers of each stage beyond which more are worth nothing; 0 where it may not run.
    """
    useful = [
        i for i in range(len(wants)) if prices[i] > 0 and most[i] > 0 and empty.fits(wants[i])
    ]
    best: Load = (0,) * len(wants)
    worth = 0.0
    orders = _orders(empty, wants, prices, useful)
    for order in orders:
        load = _filled(empty, (0,) * len(wants), wants, order, most)
        if packed(empty, load, wants) is not None:
            worth, best = max((worth, best), (sum(map(mul, prices, load)), load))
    improving = True
    while improving:
        improving = False
        for start, without in _less(best, useful):
            left = packed(empty, start, wants)
            if left is None:
                continue
            for order in orders:
                again = [*(i for i in order if i != without), without]
                load = _filled(left, start, wants, again, most)
                value = sum(map(mul, prices, load))
                if value > worth * _GAIN and packed(empty, load, wants) is not None:
                    worth, best, improving = value, load, True
                    break
            if improving:
                break
    return best


def _orders(
    empty: Left, wants: Sequence[Want], prices: Sequence[float], useful: Sequence[int]
) -> list[list[int]]:
    """Stages from the most worth per resource to the least, for each view of what is scarce."""
    room = (empty.cpus, empty.devices * UNIT + sum(empty.parts), empty.memory)
    whole = [max(1, each) for each in room]
    shares = {
        i: [
            wants[i].cpus / whole[0],
            wants[i].gpus_on(empty.device_bytes) / whole[1],
            wants[i].memory / whole[2],
        ]
        for i in useful
    }
    views = [{i: share[at] for i, share in shares.items()} for at in range(3)]
    views += [{i: max(share) for i, share in shares.items()}]
    views += [{i: sum(share) for i, share in shares.items()}]
    found: list[list[int]] = []
    for view in views:
        order = sorted(useful, key=lambda i: -prices[i] / max(view[i], 1e-12))
        if order not in found:
            found.append(order)
    return found


def _less(load: Load, useful: Sequence[int]) -> Iterator[tuple[Load, int]]:
    """The load with fewer workers of one stage, and that stage; the smallest changes first."""
    for fewer in _STEPS:
        for i in useful:
            if load[i] >= fewer:
                yield (*load[:i], load[i] - fewer, *load[i + 1 :]), i


def _filled(
    left: Left, start: Load, wants: Sequence[Want], order: Sequence[int], most: Sequence[int]
) -> Load:
    """A load with as many more workers as fit, stage by stage."""
    load = list(start)
    for i in order:
        count = min(left.fits(wants[i]), most[i] - load[i])
        if count > 0:
            load[i] += count
            left = left.take(wants[i], count)
    return tuple(load)


def serving_load(
    left: Left,
    first: Load,
    wants: Sequence[Want],
    others: Sequence[int],
    costs: Sequence[float],
    most: Sequence[int],
) -> Load:
    """A load that begins with another one, as far as it fits, and then serves the slowest stage.

    Args:
        left: the node.
        first: what is put on it before anything else.
        wants: what a worker of each stage takes.
        others: workers that stages have elsewhere.
        costs: worker seconds per pipeline input.
        most: workers of each stage in all; 0 where it may not run here.
    """
    load = [0] * len(wants)
    for i in packing_order(wants):
        count = min(first[i], left.fits(wants[i]), most[i] - others[i])
        if count > 0:
            load[i], left = count, left.take(wants[i], count)
    open_ = {i for i in range(len(wants)) if others[i] + load[i] < most[i]}
    while open_:
        slowest = min(open_, key=lambda i: ((others[i] + load[i]) / costs[i], -i))
        if not left.fits(wants[slowest]):
            open_.discard(slowest)
            continue
        load[slowest] += 1
        left = left.take(wants[slowest])
        if others[slowest] + load[slowest] >= most[slowest]:
            open_.discard(slowest)
    return tuple(load)
