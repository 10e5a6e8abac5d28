"""A storm: many lives of pipelines at once, an operator that is killed, and a spoiled connection.

Used by `test_operator_storm.py`. Everything runs in one event loop, except for the operator, which
is a process, and the heads, which have a thread. Lives, kills and faults follow from the number of
the first life; what falls together with what is the machine's.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from curator_operator.cluster.faults import POINTS
from tests.benchmarks.operator.api import CORE, MERGE_PATCH, PIPELINES, Api, Json
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.storm_cluster import StormCluster, StormHeads
from tests.cluster.storm_lives import EDITED_MAX, Life, life_of
from tests.cluster.storm_witness import Ask, Witness

TOKEN_KEY = "a key for tests alone, and long enough for them"
# Over how long lives begin; and until when the operator is killed and requests are spoiled.
BEGIN_OVER_S = 25.0
BLOWS_FOR_S = 50.0
# From its readiness until an operator is killed, if its fault point does not come first.
LIVES_S = (0.5, 7.0)
NTH = 6
LOOK_EVERY_S = 0.1
QUICK = {
    "CURATOR_POLL_INTERVAL_S": "0.7",
    "CURATOR_POLL_JITTER_S": "0.1",
    "CURATOR_API_TIMEOUT_S": "3",
    "CURATOR_REQUEST_TIMEOUT_S": "1",
    "CURATOR_RESYNC_S": "20",
}


@dataclass
class Seen:
    """What a storm was.

    Attributes:
        kills: operators that were killed at some moment.
        deaths: operators that died at their fault point, by point.
        unfinished: what lives lack of their end when the time is over.
        left: objects that nobody needs any more and that are there.
    """

    lives: dict[str, Life]
    kills: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    unfinished: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    took_s: float = 0.0


class Storm:
    """One storm in a namespace of its own.

    Args:
        kubeconfig: of the administrator.
        namespace: an empty one.
        directory: for the operator's log.
        first: number of the first life.
        count: how many lives.
    """

    def __init__(
        self, kubeconfig: Path, namespace: str, directory: Path, first: int, count: int
    ) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._directory = directory
        self._chance = random.Random(f"storm {first}")
        numbered = [life_of(number, over_s=BEGIN_OVER_S) for number in range(first, first + count)]
        self.lives = {life.name: life for life in numbered}
        self.first = first
        self.seen = Seen(self.lives)
        self._operator: OperatorProcess | None = None
        self._befallen: set[tuple[str, str]] = set()
        self._group: asyncio.TaskGroup | None = None

    async def blow(self, within_s: float) -> None:
        """Run it to the end of all lives, or until the time is over."""
        began = time.monotonic()
        async with Api(self._kubeconfig) as api:
            self._api = api
            self.cluster = StormCluster(api, self._namespace, self.lives)
            self.witness = Witness(api, Ask(self._kubeconfig), self._namespace, self.lives)
            self.witness.on_phase = self._on_phase
            self.witness.containers = self.cluster.containers
            self.proxy = FaultProxy(self._kubeconfig, f"storm {self.first}", self.witness.asked)
            with StormHeads(self.cluster.containers, self.witness.submitting) as heads:
                self.heads = self.cluster.heads = self.witness.heads = heads
                async with self.proxy:
                    await self._blow(began + within_s)
                self.seen.took_s = time.monotonic() - began

    async def _blow(self, until: float) -> None:
        """All parts; each fault of a part ends the storm."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            parts = [
                group.create_task(self.cluster.follow()),
                group.create_task(self.witness.pipelines()),
                group.create_task(self.witness.ray_clusters()),
                *(group.create_task(self._begin(life)) for life in self.lives.values()),
            ]
            reaper = group.create_task(self._reap())
            try:
                while time.monotonic() < until:
                    self.seen.unfinished = self.witness.unfinished()
                    if reaper.done() and not self.seen.unfinished:
                        self.seen.left = await self._left()
                        if not self.seen.left:
                            break
                    await asyncio.sleep(LOOK_EVERY_S)
            finally:
                if self._operator:
                    self._operator.kill()
                for part in (*parts, reaper):
                    part.cancel()

    async def _begin(self, life: Life) -> None:
        await asyncio.sleep(life.begins_s)
        self.witness.tell(life.name, f"is made; {life.kind}; befalls {life.befalls}")
        path = f"{PIPELINES}/namespaces/{self._namespace}/curatorpipelines"
        await self._api.ask("POST", path, life.manifest())

    async def _reap(self) -> None:
        """Start the operator and kill it, again and again; the last one stays."""
        kubeconfig = self.proxy.write_kubeconfig(self._directory / "proxy.kubeconfig")
        calm_at = time.monotonic() + BLOWS_FOR_S
        while time.monotonic() < calm_at:
            fault = ""
            if self._chance.random() < 0.6:
                when, name = self._chance.choice(["before", "after"]), self._chance.choice(POINTS)
                fault = f"{when}:{name}:{self._chance.randint(1, NTH)}"
            lives_s = self._chance.uniform(*LIVES_S)
            operator = self._started(kubeconfig, fault)
            await self._ready(operator)
            try:
                async with asyncio.timeout(lives_s):
                    await self._dead(operator)
                self.seen.deaths[fault] += 1
            except TimeoutError:
                self.seen.kills += 1
                operator.kill()
        self.proxy.is_on = False
        self._started(kubeconfig, "")

    def _started(self, kubeconfig: Path, fault: str) -> OperatorProcess:
        settings = {
            **QUICK,
            "CURATOR_NAMESPACES": self._namespace,
            "CURATOR_OWN_NAMESPACE": self._namespace,
            "CURATOR_TOKEN_KEY": TOKEN_KEY,
            "CURATOR_DASHBOARD_URL": self.heads.url_template,
            "CURATOR_DRIVER_URL": self.heads.url_template,
            **({"CURATOR_FAULT": fault} if fault else {}),
        }
        self._operator = OperatorProcess(kubeconfig, self._directory, settings)
        self._operator.start_without_waiting()
        return self._operator

    async def _ready(self, operator: OperatorProcess) -> None:
        """Wait until it is ready, or has died before."""
        while operator.program.is_running():
            if await asyncio.to_thread(operator.is_ready):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _dead(self, operator: OperatorProcess) -> None:
        while operator.program.is_running():  # noqa: ASYNC110 - nothing tells of its end
            await asyncio.sleep(LOOK_EVERY_S)

    def _on_phase(self, name: str, phase: str) -> None:
        """What befalls a life befalls it when the phase is first seen, in the order of its list."""
        for index, (at, what) in enumerate(self.lives[name].befalls):
            mark = (name, f"{index} {what}")
            if mark in self._befallen:
                continue
            if at == phase and self._group:
                self._befallen.add(mark)
                self._group.create_task(self._befall(name, what))
            return

    async def _befall(self, name: str, what: str) -> None:
        self.witness.tell(name, f"befalls it: {what}")
        status = self.witness.now[name].get("status") or {}
        cluster, job_id = str(status.get("rayCluster")), str(status.get("submissionId"))
        if what in {"suspend", "resume"}:
            await self._patch(name, {"spec": {"suspend": what == "suspend"}})
        elif what == "delete":
            await self._api.ask("DELETE", self._path(name))
        elif what == "restart head":
            await self.cluster.restart_head(cluster)
        elif what == "delete head":
            await self.cluster.delete_head(cluster)
        elif what == "stop job":
            self.heads.head(self._namespace, cluster).jobs[job_id].stop(self.heads.now())
        elif what == "edit":
            await self._edit(name, cluster, job_id)
        else:
            raise AssertionError(f"nobody knows how to {what}")

    async def _edit(self, name: str, cluster: str, job_id: str) -> None:
        """Another range of replicas; the job ends when the RayCluster has it."""
        spec = self.lives[name].manifest()["spec"]
        spec["cluster"]["workerGroups"][0]["maxReplicas"] = EDITED_MAX
        await self._patch(name, {"spec": {"cluster": spec["cluster"]}})
        while self._max_replicas(cluster) != EDITED_MAX:  # noqa: ASYNC110 - as for a user, by looking
            await asyncio.sleep(LOOK_EVERY_S)
        self.heads.head(self._namespace, cluster).jobs[job_id].finish(self.heads.now(), 0)

    def _max_replicas(self, cluster: str) -> int:
        found = self.witness.clusters.get(cluster)
        return int(found["spec"]["workerGroupSpecs"][0]["maxReplicas"]) if found else 0

    async def _patch(self, name: str, body: Json) -> None:
        await self._api.ask("PATCH", self._path(name), body, MERGE_PATCH)

    def _path(self, name: str) -> str:
        return f"{PIPELINES}/namespaces/{self._namespace}/curatorpipelines/{name}"

    async def _left(self) -> list[str]:
        """Objects that belong to no pipeline that is there, and whatever an end must take along."""
        there = set(self.witness.now)
        return [
            f"{kind}/{name}"
            for kind in ("pods", "configmaps", "secrets")
            for name in await self._list(kind)
            if kind != "secrets" or name.rsplit("-", 3)[0] not in there
        ]

    async def _list(self, kind: str) -> list[str]:
        found = await self._api.ask("GET", f"{CORE}/namespaces/{self._namespace}/{kind}")
        names = [each["metadata"]["name"] for each in found["items"]]
        return [name for name in names if name.startswith("life-")]

    def log(self) -> list[Json]:
        """What the operators logged, all of them in order."""
        return self._operator.log_events() if self._operator else []

    def story(self, name: str) -> str:
        """All that is known of a life, in order."""
        words = [(word.at, word.text) for word in self.witness.story[name]]
        words += [
            (note.at, f"proxy: {note.what}: {note.spoiled.value}")
            for note in self.proxy.notes
            if note.life == name
        ]
        for line in self.log():
            if line.get("pipeline") == f"{self._namespace}/{name}":
                at = datetime.fromisoformat(line["time"]).astimezone(UTC).timestamp()
                rest = {key: text for key, text in line.items() if key not in {"time", "pipeline"}}
                words.append((at, f"operator: {json.dumps(rest)[:400]}"))
            elif line.get("event") in {"started", "fault point"}:
                at = datetime.fromisoformat(line["time"]).astimezone(UTC).timestamp()
                words.append((at, f"operator: {line['event']} {line.get('what', '')}"))
        words.sort()
        first = words[0][0] if words else 0.0
        return "\n".join(f"  {at - first:7.2f} {text}" for at, text in words)
