"""What performers of actions are: their registry, their tools, and how they fail.

Used by `objects` and `ray_jobs`, which hold the performers, and by `apply`, which calls them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from curator_operator.cluster.cache import Cache, Entry
from curator_operator.cluster.client import PIPELINES, ApiRefused, KubeApi
from curator_operator.cluster.driver import Driver
from curator_operator.cluster.jobs import Jobs
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.cluster.targets import Targets
from curator_operator.reconcile.observed import PipelineSeen, Refusal
from curator_operator.settings import OperatorSettings

A = TypeVar("A")


class Conflict(Exception):
    """What was decided by has changed meanwhile; the newer version is in the cache."""


class Gone(Exception):
    """The pipeline does not exist any more."""


class ActionRefused(Exception):
    """An action was refused; the refusal is remembered."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.action}: {refusal.code} {refusal.reason}: {refusal.message}")
        self.refusal = refusal


@dataclass(frozen=True)
class Tools:
    """What performers work with."""

    api: KubeApi
    cache: Cache
    jobs: Jobs
    driver: Driver
    targets: Targets
    settings: OperatorSettings


@dataclass(frozen=True)
class Place:
    """Whose action it is."""

    key: PipelineKey
    entry: Entry

    @property
    def pipeline(self) -> PipelineSeen:
        """The pipeline in its newest version.

        Raises:
            Gone: there is none any more.
        """
        if self.entry.pipeline is None:
            raise Gone(str(self.key))
        return self.entry.pipeline.seen


Performer = Callable[[Tools, Place, Any], Awaitable[None]]
PERFORMERS: dict[type[Any], Performer] = {}


def performs(
    action: type[A],
) -> Callable[[Callable[[Tools, Place, A], Awaitable[None]]], Performer]:
    """Register the performer of an action.

    Raises:
        ValueError: it has one.
    """

    def register(performer: Callable[[Tools, Place, A], Awaitable[None]]) -> Performer:
        if action in PERFORMERS:
            raise ValueError(f"{action.__name__} has two performers")
        PERFORMERS[action] = performer
        return performer

    return register


async def look_again(tools: Tools, place: Place) -> None:
    """Read the pipeline anew: somebody changed it, and the watch may be slow to say so."""
    try:
        tools.cache.put_pipeline(
            await tools.api.get(PIPELINES, place.key.namespace, place.key.name)
        )
    except ApiRefused as refused:
        if refused.not_found:
            raise Gone(str(place.key)) from refused
        raise
