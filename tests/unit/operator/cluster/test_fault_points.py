"""Every action that there is passes a fault point before and after its effect."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from curator_operator.cluster.apply import PERFORMERS
from curator_operator.cluster.faults import POINTS, Fault
from curator_operator.reconcile import actions
from tests.unit.operator.cluster.applying import World


def test_every_class_of_the_actions_is_an_action_with_a_fault_point() -> None:
    """One that was left out of the union would be planned and have neither."""
    classes = {
        one
        for one in vars(actions).values()
        if dataclasses.is_dataclass(one) and one is not actions.Plan
    }
    assert classes == set(actions.ACTIONS)
    assert {getattr(one, "__name__", "") for one in classes} <= set(POINTS)


@pytest.mark.parametrize("action", actions.ACTIONS, ids=lambda action: action.__name__)
def test_an_action_can_be_ended_before_and_after_its_effect(
    action: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    effects: list[str] = []

    async def perform(*_: Any) -> None:
        effects.append("effect")

    monkeypatch.setitem(PERFORMERS, action, perform)
    ends: list[int] = []
    for when in ("before", "after"):
        world = World(fault=Fault(when, action.__name__))
        monkeypatch.setattr(world.applier._faults, "_end", lambda: ends.append(len(effects)))
        effects.clear()
        world.do(object.__new__(action))
    assert ends == [0, 1]
