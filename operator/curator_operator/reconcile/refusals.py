"""What the API server refused: how long to wait before asking again, and what it means.

Called by `plan`, which holds an action back for a while after a refusal, and by `waiting`, which
explains it to the user.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from curator_operator.reconcile.actions import Action, EmitEvent
from curator_operator.reconcile.observed import Refusal

FIRST_WAIT_S = 5.0
# Quota that was freed and rights that were given should be seen within a minute.
LONGEST_WAIT_S = 60.0
_DOUBLINGS = 6


def waits_s(refusal: Refusal, now: float) -> float:
    """Seconds until the refused action may be tried again; 0: now."""
    wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(max(refusal.count, 1) - 1, _DOUBLINGS))
    # A clock set back must not hold anything longer than the wait itself.
    return min(wait, max(0.0, refusal.at + wait - now))


def refusal_of(refusals: Iterable[Refusal], *actions: str) -> Refusal | None:
    """The newest refusal of one of these actions."""
    found = [one for one in refusals if one.action in actions]
    return max(found, key=lambda one: one.at, default=None)


def hold_back(
    actions: Sequence[Action], refusals: Iterable[Refusal], now: float
) -> tuple[tuple[Action, ...], float | None]:
    """The actions that may be tried now, and the seconds until the next may be.

    What comes after a refused action waits with it, for it may build on it; events do not.
    """
    wait_by_action = {one.action: waits_s(one, now) for one in refusals}
    tried: list[Action] = []
    held_s: float | None = None
    for action in actions:
        wait = wait_by_action.get(type(action).__name__, 0.0)
        if isinstance(action, EmitEvent):
            tried += [action] if not wait else []
        elif held_s is not None:
            continue
        elif wait > 0:
            held_s = wait
        else:
            tried.append(action)
    return tuple(tried), held_s
