"""Options of a run are checked once; an error names the right one."""

from __future__ import annotations

from typing import Any

import pytest

from curator_executor.runtime.settings import RunSettings

DEFAULTS = {
    "logging_interval": 60,
    "ignore_failures": False,
    "max_workers_per_stage": None,
    "execution_mode": "streaming",
    "cpu_allocation_percentage": 0.95,
    "autoscale_interval_s": 180,
}


def test_defaults_are_those_of_nemo_curator() -> None:
    settings = RunSettings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    "config",
    [
        {"logging_interval": 0.5},
        {"max_workers_per_stage": 1},
        {"max_workers_per_stage": None},
        {"execution_mode": "batch"},
        {"cpu_allocation_percentage": 1},
        {"max_failures": 0},
        {"drain_s": 0},
        {"fusion": False},
    ],
)
def test_good_value_is_taken(config: dict[str, Any]) -> None:
    ((name, value),) = config.items()
    assert getattr(RunSettings.from_config(config), name) == value


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ignore_failure", "ignore_failures"),
        ("max_worker_per_stage", "max_workers_per_stage"),
        ("execution_modes", "execution_mode"),
        ("cpu_allocation_percent", "cpu_allocation_percentage"),
        ("autoscale_interval", "autoscale_interval_s"),
    ],
)
def test_misspelt_option_is_told_its_right_name(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"unknown option '{name}'; did you mean '{nearest}'") as e:
        RunSettings.from_config({name: 1})
    assert all(option in str(e.value) for option in DEFAULTS)


def test_option_that_is_like_none_gets_the_list_only() -> None:
    with pytest.raises(ValueError, match=r"unknown option 'zzz'\.? .*Options: logging_interval"):
        RunSettings.from_config({"zzz": 1})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"logging_interval": 0}, "logging_interval must be a number above 0, got 0"),
        ({"logging_interval": "60"}, "logging_interval must be a number above 0, got '60'"),
        ({"logging_interval": True}, "logging_interval must be a number above 0, got True"),
        ({"autoscale_interval_s": -1}, "autoscale_interval_s must be a number above 0, got -1"),
        ({"ignore_failures": 1}, "ignore_failures must be True or False, got 1"),
        ({"ignore_failures": "no"}, "ignore_failures must be True or False, got 'no'"),
        ({"fusion": None}, "fusion must be True or False, got None"),
        (
            {"max_workers_per_stage": 0},
            "max_workers_per_stage must be a whole number above 0 or None, got 0",
        ),
        (
            {"max_workers_per_stage": 1.5},
            "max_workers_per_stage must be a whole number above 0 or None, got 1.5",
        ),
        (
            {"cpu_allocation_percentage": 95},
            "cpu_allocation_percentage must be a number above 0 and at most 1, got 95",
        ),
        (
            {"cpu_allocation_percentage": 0},
            "cpu_allocation_percentage must be a number above 0 and at most 1, got 0",
        ),
        (
            {"execution_mode": "Streaming"},
            (
                "execution_mode must be one of ['streaming', 'batch'], got 'Streaming'; "
                "did you mean 'streaming'?"
            ),
        ),
        ({"execution_mode": 3}, "execution_mode must be one of ['streaming', 'batch'], got 3"),
        ({"target_call_s": 0}, "target_call_s must be a number above 0, got 0"),
        ({"max_block_bytes": 1.5}, "max_block_bytes must be a whole number above 0, got 1.5"),
        ({"drain_s": -1}, "drain_s must be a number >= 0, got -1"),
        ({"max_failures": -1}, "max_failures must be a whole number >= 0 or None, got -1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_value_is_named_with_what_is_allowed(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^") as raised:
        RunSettings.from_config(config)
    assert str(raised.value) == message
