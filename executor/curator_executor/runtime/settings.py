"""`RunSettings`: every option of a run, checked once, with an error that names the right one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import Any

EXECUTION_MODES = ("streaming", "batch")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run behaves. The first six are NeMo Curator's, with its defaults.

    Attributes:
        logging_interval: seconds between progress logs.
        ignore_failures: go on when a task fails; it becomes a dead letter.
        max_workers_per_stage: most workers of any one stage, or None.
        execution_mode: `"streaming"` or `"batch"` (a stage ends before the next begins).
        cpu_allocation_percentage: share of each node's CPUs that stages may use, in (0, 1].
        autoscale_interval_s: seconds between scaling decisions.
        fusion: let neighbouring stages share a worker where nothing changes by it.
        target_call_s: seconds of work that one call to a worker aims at.
        max_block_bytes: most bytes that one call carries.
        drain_s: seconds that running calls get to end on cancellation.
        max_failures: dead letters after which the run fails all the same, or None.
    """

    logging_interval: float = 60
    ignore_failures: bool = False
    max_workers_per_stage: int | None = None
    execution_mode: str = "streaming"
    cpu_allocation_percentage: float = 0.95
    autoscale_interval_s: float = 180
    fusion: bool = True
    target_call_s: float = 0.1
    max_block_bytes: int = 16 * 1024 * 1024
    drain_s: float = 3.0
    max_failures: int | None = None

    def __post_init__(self) -> None:
        _require_positive(self, "logging_interval", "autoscale_interval_s", "target_call_s")
        _require_positive(self, "max_block_bytes", whole=True)
        _require_positive(self, "max_workers_per_stage", whole=True, optional=True)
        if self.max_failures is not None:
            _check(
                _is_number(self.max_failures, whole=True) and self.max_failures >= 0,
                "max_failures",
                "a whole number >= 0 or None",
                self.max_failures,
            )
        _check(
            _is_number(self.drain_s) and self.drain_s >= 0, "drain_s", "a number >= 0", self.drain_s
        )
        for name in ("ignore_failures", "fusion"):
            value = getattr(self, name)
            _check(isinstance(value, bool), name, "True or False", value)
        if self.execution_mode not in EXECUTION_MODES:
            near = difflib.get_close_matches(str(self.execution_mode).lower(), EXECUTION_MODES, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"execution_mode must be one of {list(EXECUTION_MODES)}, "
                f"got {self.execution_mode!r}{hint}"
            )
        share = self.cpu_allocation_percentage
        _check(
            _is_number(share) and 0 < share <= 1,
            "cpu_allocation_percentage",
            "a number above 0 and at most 1",
            share,
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RunSettings:
        """Settings from an options dict.

        Raises:
            ValueError: an unknown option (with the nearest right name) or a bad value.
        """
        known = [f.name for f in fields(cls)]
        for name in config:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"unknown option {name!r}{hint} Options: {', '.join(known)}")
        return cls(**config)


def _is_number(value: Any, whole: bool = False) -> bool:
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _check(holds: bool, name: str, wanted: str, got: Any) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}, got {got!r}")


def _require_positive(
    settings: RunSettings, *names: str, whole: bool = False, optional: bool = False
) -> None:
    for name in names:
        value = getattr(settings, name)
        if optional and value is None:
            continue
        wanted = ("a whole number" if whole else "a number") + " above 0"
        _check(
            _is_number(value, whole) and value > 0,
            name,
            wanted + (" or None" if optional else ""),
            value,
        )
