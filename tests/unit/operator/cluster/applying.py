"""`World`: one pipeline, and everything that actions on it touch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster.apply import Applier
from curator_operator.cluster.cache import Cache
from curator_operator.cluster.driver import Driver
from curator_operator.cluster.faults import Fault, Faults
from curator_operator.cluster.jobs import Jobs
from curator_operator.cluster.performing import Place, Tools
from curator_operator.cluster.targets import Targets
from curator_operator.metrics import Metrics
from tests.unit.operator.cluster.fakes import (
    KEY,
    RUNNING,
    SETTINGS,
    ScriptedApi,
    ScriptedHeads,
    cache_with,
)


class World:
    """One pipeline, and everything that actions on it touch."""

    def __init__(
        self,
        api: Mapping[tuple[str, str], Any] | None = None,
        heads: Mapping[tuple[str, str], Any] | None = None,
        *,
        cache: Cache | None = None,
        fault: Fault | None = None,
    ) -> None:
        self.api = ScriptedApi(api)
        self.heads = ScriptedHeads(heads)
        self.cache = cache if cache is not None else cache_with(status=RUNNING)
        self.asked_at_the_end: list[int] = []
        targets = Targets(self.api, SETTINGS, clock=lambda: 0.0)
        tools = Tools(self.api, self.cache, Jobs(self.heads), Driver(self.heads), targets, SETTINGS)
        faults = Faults(fault, end=self._end)
        self.applier = Applier(tools, Metrics(), faults)
        self.place = Place(KEY, self.cache.entry(KEY))

    def _end(self) -> None:
        self.asked_at_the_end.append(len(self.api.asked))

    def do(self, action: Any) -> World:
        asyncio.run(self.applier.do(self.place, action))
        return self

    def write(self, status: PipelineStatus) -> World:
        asyncio.run(self.applier.write_status(self.place, self.place.pipeline, status))
        return self
