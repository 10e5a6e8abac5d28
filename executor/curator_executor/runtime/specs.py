"""From stages as authors write them to what the core schedules. Called once, by `run`.

Everything that can be known to be wrong before a worker starts is found here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from curator_executor.api.pipeline import Stage, assign_roles, expand_composites
from curator_executor.api.stage import ProcessingStage
from curator_executor.core.errors import InvalidPipeline
from curator_executor.core.types import GIB, Need, StageSpec
from curator_executor.runtime.settings import RunSettings

log = logging.getLogger("curator_executor.run")

# Keys of `xenna_stage_spec`: NeMo Curator's that this executor reads, and its own three.
SPEC_KEYS = {
    "num_workers_per_node": "a number above 0",
    "num_setup_attempts_python": "a whole number above 0",
    "num_run_attempts_python": "a whole number above 0",
    "ignore_failures": "True or False",
    "min_workers": "a whole number",
    "max_workers": "a whole number above 0",
    "timeout_s": "a number above 0",
    "worker_groups": "a list of names",
}
# NeMo Curator's keys that have no meaning here: said once, not refused, so that its stages run.
IGNORED_KEYS = frozenset(
    {
        "reset_workers_on_failure",
        "slots_per_actor",
        "worker_max_lifetime_m",
        "worker_restart_interval_m",
        "max_setup_failure_percentage",
        "over_provision_factor",
    }
)


def prepare_stages(stages: Sequence[Stage]) -> list[Stage]:
    """Stages that run: composites expanded, roles assigned.

    Raises:
        InvalidPipeline: no stages, something that is no stage, or two stages of one name.
    """
    if not stages:
        raise InvalidPipeline("there are no stages to run; pass at least one")
    given: Sequence[object] = stages
    for position, stage in enumerate(given):
        if not isinstance(stage, ProcessingStage):
            raise InvalidPipeline(
                f"stages[{position}] is {type(stage).__name__}, wanted a ProcessingStage"
            )
    expanded, _ = expand_composites(stages)
    assign_roles(expanded)
    return expanded


def unique_names(stages: Sequence[Stage]) -> tuple[str, ...]:
    """Names for figures and messages; a repeated one gets a number."""
    seen: dict[str, int] = {}
    names = []
    for stage in stages:
        name = str(stage.name)
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(names)


def stage_specs(stages: Sequence[Stage], settings: RunSettings) -> tuple[StageSpec, ...]:
    """What the core needs to know of each stage.

    Raises:
        InvalidPipeline: a batch size, worker count or option that makes no sense.
    """
    names = unique_names(stages)
    return tuple(
        _spec(index, name, stage, settings)
        for index, (name, stage) in enumerate(zip(names, stages, strict=True))
    )


def _spec(index: int, name: str, stage: Stage, settings: RunSettings) -> StageSpec:
    options = _options(name, stage)
    declared: int | None = stage.batch_size  # None: NeMo Curator lets the executor decide
    batch_size = 1 if declared is None else declared
    _whole(name, "batch_size", batch_size, least=1)
    workers = stage.num_workers()
    if workers is not None:
        _whole(name, "num_workers()", workers, least=1)
    per_node = stage.num_workers_per_node()
    if per_node is None:
        per_node = options.get("num_workers_per_node")
    if workers is not None and per_node is not None:
        raise InvalidPipeline(
            f'stage "{name}": num_workers() and num_workers_per_node are both set; keep one'
        )
    is_global = bool(getattr(stage, "is_global_stage", False))
    if is_global and workers not in (None, 1):
        raise InvalidPipeline(
            f'stage "{name}": a global stage has one worker, num_workers() says {workers}'
        )
    need = stage.resources
    return StageSpec(
        index=index,
        name=name,
        batch_size=batch_size,
        need=Need(
            float(need.cpus),
            float(need.gpus),
            int(getattr(need, "memory", 0)),
            int(need.gpu_memory_gb * GIB),
        ),
        fixed_workers=workers,
        workers_per_node=per_node,
        min_workers=options.get("min_workers", 0),
        max_workers=options.get("max_workers"),
        attempts=options.get("num_run_attempts_python", 1),
        setup_attempts=options.get("num_setup_attempts_python", 1),
        ignore_failures=options.get("ignore_failures", settings.ignore_failures),
        is_global=is_global,
        is_pure=bool(getattr(stage, "is_pure", False)),
        keeps_state_in_scratch=bool(getattr(stage, "keeps_state_in_scratch", False)),
        fans_out=bool(stage.is_fanout_stage()),
        env_key=_env_key(stage.runtime_env),
        timeout_s=options.get("timeout_s"),
        worker_groups=tuple(options.get("worker_groups", ())),
        prepares_nodes=_prepares_nodes(stage),
    )


def _prepares_nodes(stage: Stage) -> bool:
    """Whether `setup_on_node` is its own; where it is not, no worker needs to wait for another."""
    own = "setup_on_node" in vars(stage)
    return own or type(stage).setup_on_node is not ProcessingStage.setup_on_node


def _options(name: str, stage: Stage) -> dict[str, Any]:
    options = dict(stage.xenna_stage_spec())
    for key in list(options):
        if options[key] is None or key in IGNORED_KEYS:
            if options.pop(key) is not None:
                log.info("stage %s: xenna_stage_spec[%r] has no effect here", name, key)
        elif key not in SPEC_KEYS:
            near = difflib.get_close_matches(key, SPEC_KEYS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidPipeline(
                f'stage "{name}": xenna_stage_spec has an unknown key {key!r}{hint}'
            )
    for key, least in (
        ("num_setup_attempts_python", 1),
        ("num_run_attempts_python", 1),
        ("max_workers", 1),
        ("min_workers", 0),
    ):
        if key in options:
            _whole(name, f"xenna_stage_spec[{key!r}]", options[key], least=least)
    return options


def _whole(stage: str, what: str, value: Any, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidPipeline(
            f'stage "{stage}": {what} must be a whole number >= {least}, got {value!r}'
        )


def _env_key(runtime_env: dict[str, Any] | None) -> str:
    if not runtime_env:
        return ""
    text = json.dumps(runtime_env, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
