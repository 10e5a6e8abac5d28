"""Neighbours share workers only where no stage can tell; each boundary says why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from curator_executor.core.fusion import plan_pools, why_not_fused
from curator_executor.core.types import Need, PoolSpec
from tests.unit.core.states import specs


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, {}, ""),
        ({"batch_size": 7}, {}, ""),
        ({}, {"batch_size": 7}, "s1 takes batches of 7"),
        ({"is_global": True}, {}, "a global stage has its one worker for itself"),
        ({}, {"is_global": True}, "a global stage has its one worker for itself"),
        ({"need": Need(1, gpus=0.5)}, {}, "a GPU stage has its workers for itself"),
        ({}, {"need": Need(1, gpus=1)}, "a GPU stage has its workers for itself"),
        ({"attempts": 3}, {}, ""),
        ({}, {"attempts": 3}, "s1 is retried by itself"),
        ({"env_key": "a"}, {"env_key": "b"}, "their runtime environments differ"),
        ({"env_key": "a"}, {"env_key": "a"}, ""),
        ({"worker_groups": ("a",)}, {}, "they run on different worker groups"),
        ({"fixed_workers": 2}, {}, "the number of workers of s0 is set"),
        ({"workers_per_node": 1.0}, {}, "the number of workers of s0 is set"),
        ({"min_workers": 1}, {}, "the number of workers of s0 is set"),
        ({}, {"max_workers": 1}, "the number of workers of s1 is set"),
        ({"timeout_s": 5.0}, {}, "a time limit counts one stage's batches"),
        ({}, {"timeout_s": 5.0}, "a time limit counts one stage's batches"),
        ({"ignore_failures": True}, {}, "only one of them may go on after a failure"),
        ({"ignore_failures": True}, {"ignore_failures": True}, ""),
    ],
)
def test_boundary_has_its_reason(
    before: dict[str, Any], after: dict[str, Any], reason: str
) -> None:
    assert why_not_fused(*specs(before, after)) == reason


def test_pools_are_runs_of_stages_that_fuse() -> None:
    first, second, third = specs(
        {"need": Need(1.0, memory=10)}, {"need": Need(2.0, memory=5)}, {"batch_size": 2}
    )
    assert plan_pools([first, second, third], fuse=True) == (
        PoolSpec(0, (first, second), Need(2.0, memory=15), "first stage"),
        PoolSpec(1, (third,), Need(), "s2 takes batches of 2"),
    )


def test_fusion_can_be_turned_off() -> None:
    one, other = specs({}, {})
    assert plan_pools([one, other], fuse=False) == (
        PoolSpec(0, (one,), Need(), "first stage"),
        PoolSpec(1, (replace(other),), Need(), "fusion is off"),
    )


def test_pool_is_named_after_its_stages() -> None:
    (pool,) = plan_pools(specs({}, {}), fuse=True)
    assert (pool.name, pool.head.name) == ("s0+s1", "s0")
