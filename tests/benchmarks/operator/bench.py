"""`Bench`: the steps of a benchmark of the operator, and what is measured in each.

Run by `run`. All is applied at a steady rate; when everybody is where its kind is to be, the
operator is left alone for a while; then more pipelines come one a second; at last the operator is
killed, every pipeline is edited, and it is started again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.operator.api import (
    CORE,
    MERGE_PATCH,
    PIPELINES,
    Api,
    ApiFailed,
    until_cancelled,
)
from tests.benchmarks.operator.figures import MIB, Seen, growth, quantile, stalenesses
from tests.benchmarks.operator.load import NAMESPACES, WITH_CLUSTER, Kind, Pipeline, late, load
from tests.benchmarks.operator.observer import Observer, Watched
from tests.benchmarks.operator.processes import Gauge
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.processes import Program, ProgramEnded

Call = Callable[[], Any]
# Where each kind comes to rest.
AT_REST: dict[Kind, str] = {
    "run": "Running",
    "ended": "Succeeded",
    "held": "Suspended",
    "waiting": "Starting",
    "late": "Succeeded",
}
ACCOUNT_WITHIN_S = 30.0
SETTLED_WITHIN_S = 600.0
RESTARTED_WITHIN_S = 180.0
EDITED_WITHIN_S = 60.0
LATE_RATE = 1.0
EDITS_AT_ONCE = 16
SAMPLE_EVERY_S = 0.5
# Of so many samples of the operator's memory one goes into the results.
MEMORY_KEPT = 5


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        pipelines: in all.
        running: of these.
        steady_s: how long the operator is watched while nothing else happens.
        warm_up_s: before that.
        rate: pipelines applied in a second.
        late: pipelines that come when all others are there.
    """

    pipelines: int
    running: int
    steady_s: float
    warm_up_s: float
    rate: float
    late: int


class Bench:
    """One benchmark, from an empty API server to the figures."""

    def __init__(
        self,
        sizes: Sizes,
        control_plane: ControlPlane,
        operator: OperatorProcess,
        stand_in: Program,
        directory: Path,
    ) -> None:
        self._sizes = sizes
        self._control_plane = control_plane
        self._operator = operator
        self._stand_in = stand_in
        self._directory = directory
        self._load = load(sizes.pipelines, sizes.running)
        self._applied: dict[str, float] = {}
        self._gauge = Gauge(self._pids)
        self._measured: dict[str, float] = {}
        self._beside: dict[str, Any] = {}
        self._faults: list[str] = []

    async def run(self) -> dict[str, Any]:
        """All steps.

        Raises:
            TooLate: the operator did not get somewhere in time.
            ApiFailed: the API server refused something.
        """
        async with Api(self._control_plane.kubeconfig) as api:
            self._api, self._observer = api, Observer(api)
            watching = asyncio.create_task(
                until_cancelled(
                    self._observer.follow_pipelines(),
                    self._observer.follow_clusters(),
                    self._gauge.follow(),
                    self._mind_the_stand_in(),
                )
            )
            steps = asyncio.create_task(self._steps())
            try:
                await asyncio.wait({watching, steps}, return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
                await steps
            finally:
                for task in (watching, steps):
                    task.cancel()
                await asyncio.gather(watching, steps, return_exceptions=True)
        self._beside["watches of the observer taken up again"] = api.reopened
        self._check_submissions()
        for name, most in self._gauge.rss_peak.items():
            self._beside[f"rss_peak_mib {name}"] = round(most / MIB, 1)
        self._measured["rss_peak_mib"] = self._gauge.rss_peak["operator"] / MIB
        return {
            "measured": self._measured,
            "beside": self._beside,
            "faults": self._faults,
            "memory": self._gauge.memory["operator"][::MEMORY_KEPT],
        }

    async def _steps(self) -> None:
        for namespace in NAMESPACES:
            await self._make_namespace(namespace)
        await asyncio.to_thread(self._operator.wait_until_ready)
        await self._ramp()
        _say(f"{len(self._load)} applied and settled; warming up {self._sizes.warm_up_s:g} s")
        await asyncio.sleep(self._sizes.warm_up_s)
        await self._steady()
        await self._late()
        await self._restart()

    async def _mind_the_stand_in(self) -> None:
        while self._stand_in.is_running():  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(SAMPLE_EVERY_S)
        raise ProgramEnded(f"the stand-in ended: {self._stand_in.log_end()}")

    def _pids(self) -> dict[str, int]:
        programs = self._control_plane._programs
        return {
            "operator": self._operator.program.pid,
            "kube-apiserver": programs["kube-apiserver"].pid,
            "etcd": programs["etcd"].pid,
            "stand-in": self._stand_in.pid,
        }

    async def _make_namespace(self, name: str) -> None:
        await self._api.ask("POST", f"{CORE}/namespaces", {"metadata": {"name": name}})
        deadline = time.monotonic() + ACCOUNT_WITHIN_S
        while True:  # pods are refused until their service account is there
            try:
                await self._api.ask("GET", f"{CORE}/namespaces/{name}/serviceaccounts/default")
            except ApiFailed:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(SAMPLE_EVERY_S)
            else:
                return

    async def _ramp(self) -> None:
        _say(f"applying {len(self._load)}, {self._sizes.rate:g} a second")
        began, cpu = time.time(), self._gauge.cpu_s()
        await self._apply_all(self._load, self._sizes.rate)
        at = await self._settled(self._load)
        waits = self._waits(self._load)
        self._measured["ramp_p99_s"] = quantile(waits, 0.99)
        self._note("ramp", waits)
        self._note_cpu("ramp", cpu, at - began)
        self._beside["settled after the last apply, s"] = round(at - max(self._applied.values()), 1)

    async def _steady(self) -> None:
        _say(f"steady for {self._sizes.steady_s:g} s")
        begin, cpu = time.time(), self._gauge.cpu_s()
        await asyncio.sleep(self._sizes.steady_s)
        end = time.time()
        self._note_cpu("steady", cpu, end - begin)
        self._beside["operator's own metrics"] = _own_figures(self._operator.get("/metrics"))
        running = self._of_kind("run")
        served = self._served(running)
        count = int((end - begin) / SAMPLE_EVERY_S)
        times = [begin + number * SAMPLE_EVERY_S for number in range(count)]
        shown = {key: one.shown for key, one in running.items()}
        ages, wrong = stalenesses(served, shown, times)
        if wrong:
            self._faults.append(f"{len(wrong)} show what was never served, e.g. {wrong[0]}")
        self._measured["staleness_p95_s"] = quantile(ages, 0.95)
        for title, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)):
            self._beside[f"staleness {title}, s"] = round(quantile(ages, share), 2)
        self._beside["staleness samples"] = len(ages)
        minutes = (end - begin) / 60
        writes = [
            sum(begin <= at <= end for at in one.writes) / minutes for one in running.values()
        ]
        self._measured["writes_per_minute"] = sum(writes) / len(writes)
        self._beside["writes_per_minute most of any"] = round(max(writes), 2)
        others = sum(
            sum(begin <= at <= end for at in one.writes)
            for key, one in self._observer.pipelines.items()
            if key not in running
        )
        self._beside["writes of pipelines that do not run"] = others
        memory = self._gauge.between("operator", begin, end)
        self._measured["growth_mib"] = growth(memory)
        self._beside["operator rss mib, first and last minute"] = [
            round(_mean(rss for at, rss in memory if at <= begin + 60) / MIB, 2),
            round(_mean(rss for at, rss in memory if at >= end - 60) / MIB, 2),
        ]

    async def _late(self) -> None:
        more = late(self._sizes.late)
        if not more:
            return
        _say(f"applying {len(more)} more, {LATE_RATE:g} a second")
        await self._apply_all(more, LATE_RATE)
        await self._settled(more)
        waits = self._waits(more)
        self._measured["apply_p99_s"] = quantile(waits, 0.99)
        self._note("late", waits)

    async def _restart(self) -> None:
        everything = list(self._observer.pipelines)
        _say(f"killing the operator, editing {len(everything)}, starting it again")
        self._operator.kill()
        places = asyncio.Semaphore(EDITS_AT_ONCE)
        await asyncio.gather(*(self._edit(key, places) for key in everything))
        await self._observer.until(self._unedited, "all edits are seen", EDITED_WITHIN_S)
        began = time.time()
        self._operator.start_without_waiting()

        def missing() -> Counter[str]:
            return Counter(
                "not judged anew" if not one.is_judged else "shows nothing new"
                for key, one in self._observer.pipelines.items()
                if not one.is_judged or (_is_run(key) and one.shown[-1].at < began)
            )

        await asyncio.to_thread(self._operator.wait_until_ready)
        ready = time.time()
        at = await self._observer.until(missing, "all are reconciled", RESTARTED_WITHIN_S)
        self._measured["restart_s"] = at - began
        self._beside["restart: edited while it was down"] = len(everything)
        self._beside["restart: process start to ready, s"] = round(ready - began, 2)

    def _unedited(self) -> Counter[str]:
        judged = [one for one in self._observer.pipelines.values() if one.is_judged]
        return Counter(one.phase for one in judged)

    async def _edit(self, key: str, places: asyncio.Semaphore) -> None:
        """Change what may be changed in every phase; the operator has to say that it saw it."""
        namespace, name = key.split("/")
        path = f"{PIPELINES}/namespaces/{namespace}/curatorpipelines/{name}"
        async with places:
            body = {"spec": {"ttlSecondsAfterFinished": 86_400}}
            await self._api.ask("PATCH", path, body, MERGE_PATCH)

    async def _apply_all(self, pipelines: Sequence[Pipeline], rate: float) -> None:
        """Apply at a steady rate, whatever the API server makes of it."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, one in enumerate(pipelines):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                group.create_task(self._apply(one))

    async def _apply(self, pipeline: Pipeline) -> None:
        self._applied[pipeline.key] = time.time()
        path = f"{PIPELINES}/namespaces/{pipeline.namespace}/curatorpipelines"
        await self._api.ask("POST", path, pipeline.manifest())

    async def _settled(self, pipelines: Sequence[Pipeline]) -> float:
        def missing() -> Counter[str]:
            found: Counter[str] = Counter()
            for one in pipelines:
                seen = self._observer.pipelines.get(one.key, Watched())
                if seen.phase != AT_REST[one.kind] or (one.kind == "run" and not seen.shown):
                    found[f"{one.kind}: {seen.phase or 'nothing'}"] += 1
                elif one.kind in WITH_CLUSTER and one.key not in self._observer.clusters:
                    found[f"{one.kind}: no RayCluster"] += 1
            return found

        return await self._observer.until(missing, "all are at rest", SETTLED_WITHIN_S)

    def _waits(self, pipelines: Iterable[Pipeline]) -> list[float]:
        """Seconds from sending a pipeline until its RayCluster was seen."""
        return [
            self._observer.clusters[one.key] - self._applied[one.key]
            for one in pipelines
            if one.kind in WITH_CLUSTER
        ]

    def _of_kind(self, kind: Kind) -> dict[str, Watched]:
        keys = {one.key for one in self._load if one.kind == kind}
        return {key: one for key, one in self._observer.pipelines.items() if key in keys}

    def _served(self, running: dict[str, Watched]) -> dict[str, list[Seen]]:
        """What the drivers noted that they told, by pipeline."""
        owners = {one.status["rayCluster"]: key for key, one in running.items()}
        found: dict[str, list[Seen]] = defaultdict(list)
        whole, _, _unfinished = (self._directory / "served.jsonl").read_text().rpartition("\n")
        for line in whole.splitlines():
            told = json.loads(line)
            if told["cluster"] in owners:
                found[owners[told["cluster"]]].append(Seen(told["t"], tuple(told["n"])))
        return found

    def _note(self, step: str, waits: Sequence[float]) -> None:
        for title, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)):
            self._beside[f"apply → RayCluster, {step}, {title}, s"] = round(
                quantile(waits, share), 2
            )
        self._beside[f"apply → RayCluster, {step}, count"] = len(waits)

    def _note_cpu(self, step: str, before: dict[str, float], seconds: float) -> None:
        for name, spent in self._gauge.cpu_s().items():
            share = 100 * (spent - before[name]) / seconds
            self._beside[f"cpu % of a core, {step}, {name}"] = round(share, 1)

    def _check_submissions(self) -> None:
        self._stand_in.stop()
        accepted = json.loads((self._directory / "accepted.json").read_text())
        twice = [submission for submission, count in accepted.items() if count > 1]
        self._beside["jobs submitted"] = len(accepted)
        if twice:
            self._faults.append(f"{len(twice)} jobs were submitted twice, e.g. {twice[0]}")


def _is_run(key: str) -> bool:
    return key.partition("/")[2].startswith("run-")


def _mean(values: Iterable[int]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else float("nan")


def _own_figures(text: str) -> dict[str, float]:
    """What the operator says of itself, to be held beside what was seen."""
    wanted = ("status_staleness_seconds", "status_writes_total", "reconciles_total", "queue_")
    return {
        name.removeprefix("curator_operator_"): float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines())
        if not name.startswith("#") and any(part in name for part in wanted)
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
