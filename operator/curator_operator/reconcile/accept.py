"""Judge a pipeline's spec: what it asks for, and all that is wrong with it.

Called once for every plan. The API server has refused most bad specs already; here is what only
the models see, what only shows when children are made of it, and specs that got past a server
without validation. Never raises: whatever is in the resource, its deletion and its suspension must
still work, so the fields that steer an attempt are read by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from curator_api import parse_resource
from curator_api.errors import ManifestError
from curator_api.v1alpha1 import PipelineSpec
from curator_operator.desired.manifest import work_hash
from curator_operator.reconcile import wanted
from curator_operator.reconcile.observed import PipelineSeen
from curator_operator.settings import OperatorSettings

DEFAULT_BACKOFF_LIMIT = 2
DEFAULT_DRAIN_S = 60.0
# A message of a condition holds 1,024 characters; the rest is counted.
MOST_NAMED_PROBLEMS = 5


@dataclass(frozen=True)
class Controls:
    """What steers an attempt and may change while it runs; defaults where it cannot be read.

    Attributes:
        existing: name of the RayCluster to use; "" where the pipeline gets its own.
        retry_on: what begins a new attempt besides lost infrastructure.
    """

    suspend: bool = False
    backoff_limit: int = DEFAULT_BACKOFF_LIMIT
    deadline_s: float | None = None
    ttl_s: float | None = None
    drain_s: float = DEFAULT_DRAIN_S
    keep_cluster: bool = False
    existing: str = ""
    retry_on: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Judged:
    """A spec, judged.

    Attributes:
        spec: parsed; None where it is invalid.
        work: hash of the work in it; "" where it is invalid.
        problems: what is wrong, each naming its field.
    """

    controls: Controls
    spec: PipelineSpec | None = None
    work: str = ""
    problems: tuple[str, ...] = ()

    @property
    def complaint(self) -> str:
        """All problems in one line, as far as there is room."""
        return in_one_line(self.problems)


def in_one_line(problems: tuple[str, ...]) -> str:
    """Problems in one line; those that there is no room for are counted."""
    named = "; ".join(problems[:MOST_NAMED_PROBLEMS])
    more = len(problems) - MOST_NAMED_PROBLEMS
    return f"{named}; and {more} more" if more > 0 else named


def judge(pipeline: PipelineSeen) -> Judged:
    """What the spec asks for, and what is wrong with it by itself."""
    return _judged(pipeline.namespace, pipeline.name, json.dumps(pipeline.spec, sort_keys=True))


# A running pipeline is looked at every few seconds and its spec hardly ever changes: judging it
# anew took three quarters of a look.
@lru_cache(maxsize=512)
def _judged(namespace: str, name: str, text: str) -> Judged:
    spec = json.loads(text)
    controls = _controls(spec)
    try:
        parsed = parse_resource(
            {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
        ).spec
    except ManifestError as error:
        return Judged(controls, problems=tuple(str(problem) for problem in error.problems))
    return Judged(controls, parsed, work_hash(parsed))


def cannot_be_made(
    pipeline: PipelineSeen, spec: PipelineSpec, settings: OperatorSettings
) -> tuple[str, ...]:
    """What is wrong with a valid spec when children are made of it; empty if nothing.

    Asked before an attempt begins, not on every look: it makes all manifests.
    """
    try:
        wanted.children(pipeline, spec, 1, settings)
    except ManifestError as error:
        return tuple(str(problem) for problem in error.problems)
    return ()


def _controls(spec: Mapping[str, Any]) -> Controls:
    cluster = _mapping(spec.get("cluster"))
    existing = _mapping(cluster.get("existing")).get("name")
    backoff = _number(spec.get("backoffLimit"))
    retry_on = spec.get("retryOn")
    drain = _number(_mapping(spec.get("execution")).get("drainSeconds"))
    return Controls(
        suspend=spec.get("suspend") is True,
        backoff_limit=DEFAULT_BACKOFF_LIMIT if backoff is None else int(backoff),
        deadline_s=_number(spec.get("activeDeadlineSeconds")),
        ttl_s=_number(spec.get("ttlSecondsAfterFinished")),
        drain_s=DEFAULT_DRAIN_S if drain is None else drain,
        keep_cluster=cluster.get("keepAfterFinish") is True,
        existing=existing if isinstance(existing, str) else "",
        retry_on=frozenset(map(str, retry_on)) if isinstance(retry_on, list) else frozenset(),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    """A number that is not negative; None for anything else, such as text or true."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value >= 0 else None
