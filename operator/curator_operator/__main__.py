"""`python -m curator_operator`: puts the operator together, runs it, and ends it in order.

One process, one event loop. kopf watches; everything else is ours: the queue and its workers, the
poller, the listing from time to time, and the health endpoints. Exit codes: 0 stopped by a signal,
1 a part of it failed, 2 it is set up wrongly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import kopf
from kubernetes.aio.config import ConfigException

from curator_operator import logs
from curator_operator.cluster.apply import Applier, Tools
from curator_operator.cluster.cache import Cache
from curator_operator.cluster.client import ApiError, KubeApi
from curator_operator.cluster.driver import Driver
from curator_operator.cluster.faults import FaultError, Faults
from curator_operator.cluster.follow import Follower
from curator_operator.cluster.http import Heads
from curator_operator.cluster.jobs import Jobs
from curator_operator.cluster.listing import Listing
from curator_operator.cluster.read import Reader
from curator_operator.cluster.reduce import PipelineKey
from curator_operator.cluster.targets import Targets
from curator_operator.controller import Controller, Loop
from curator_operator.handlers import handlers, watch_settings
from curator_operator.health import HealthServer, QueueWatch, judge
from curator_operator.metrics import Metrics, Now
from curator_operator.poller import Poller, PollSchedule
from curator_operator.queue import Backoff, KeyedQueue
from curator_operator.reconcile.plan import plan
from curator_operator.settings import OperatorSettings, SettingsError

logger = logging.getLogger("curator_operator")
# Kubernetes kills a pod 30 s after the signal by default; the rest is for kopf and connections.
FINISH_S = 7.0
# Of type `Identity`, which kopf does not export; only peering, which is off, would show it.
_IDENTITY: Any = "curator-operator"
_RETRY_S = 5.0
_KUBERAY_S = 10.0


class Operator:
    """The parts of the operator, put together."""

    def __init__(
        self,
        settings: OperatorSettings,
        api: KubeApi,
        heads: Heads,
        faults: Faults,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.cache = Cache()
        self.queue: KeyedQueue[PipelineKey] = KeyedQueue()
        self.ready = False
        targets = Targets(api, settings)
        reader = Reader(api, self.cache)
        jobs, driver = Jobs(heads), Driver(heads)
        follower = Follower(self.cache, reader, targets, (jobs, driver), metrics)
        self.poller: Poller[PipelineKey] = Poller(
            PollSchedule(
                settings.poll_interval_s, settings.poll_jitter_s, settings.poll_concurrency
            ),
            follower.poll,
            self.queue.add,
            slow_after_s=settings.request_timeout_s / 2,
            pace=follower.poll_within_s,
        )
        tools = Tools(api, self.cache, jobs, driver, targets, settings)
        self.controller = Controller(
            plan=plan,
            settings=settings,
            cache=self.cache,
            reader=reader,
            applier=Applier(tools, metrics, faults),
            loop=Loop(self.queue, self.poller),
            metrics=metrics,
        )
        self.listing = Listing(api, self.cache, metrics, settings.namespaces)
        self._queue_watch = QueueWatch()
        self._end_watches = asyncio.Event()
        metrics.observe(self.now)
        self.health = HealthServer(self.trouble, lambda: self.ready, metrics.text)

    def now(self) -> Now:
        """What is true at the moment of a scrape."""
        wall = time.time()
        entries = list(self.cache.entries())
        return Now(
            queue_depth=self.queue.depth,
            queue_oldest_s=self.queue.oldest_s(),
            polled=self.poller.polled,
            phases=Counter(
                entry.pipeline.seen.status.phase or ""
                for entry in entries
                if entry.pipeline is not None
            ),
            staleness_s=[
                wall - entry.shown_at
                for entry in entries
                if entry.shown_at is not None
                and entry.pipeline is not None
                and entry.pipeline.seen.status.phase == "Running"
            ],
        )

    def trouble(self) -> str:
        """What is wrong, or ""."""
        now = time.monotonic()
        still_s = self._queue_watch.still_s(self.queue.handed_out, self.queue.depth, now)
        return judge(now - self.poller.turned_at if self.ready else 0.0, still_s)

    async def prime(self) -> None:
        """List everything once; then every pipeline waits in the queue."""
        while True:
            try:
                await self.listing.everything()
                break
            except ApiError as error:
                # Most often: not installed yet, no rights yet, the API server is starting.
                logger.warning("cannot list", extra={"why": str(error), "again_s": _RETRY_S})
                await asyncio.sleep(_RETRY_S)
        for key in self.cache.pipelines():
            self.queue.add(key)
        self.ready = True
        logger.info("listed", extra={"pipelines": self.queue.depth, "kuberay": self.cache.kuberay})

    async def resync(self) -> None:
        """List everything from time to time, and look at every pipeline."""
        while True:
            await asyncio.sleep(self.settings.resync_s)
            with _shrug("cannot list"):
                changed = await self.listing.everything()
                logger.info("listed", extra={"unknown": len(changed)})
            for key in self.cache.pipelines():
                self.queue.add(key)

    async def await_kuberay(self) -> None:
        """While KubeRay is not installed, look whether it is."""
        while True:
            await asyncio.sleep(_KUBERAY_S)
            if self.cache.kuberay:
                continue
            with _shrug("cannot look for KubeRay"):
                for key in await self.listing.clusters():
                    self.queue.add(key)
                if self.cache.kuberay:
                    # With some namespaces kopf does not look for kinds that come later; with all
                    # it does, but misses one that is listed later than it is established.
                    self._end_watches.set()

    async def watch(self, stopping: asyncio.Event, on_signal: Callable[[], None]) -> None:
        """Watch by kopf until `stopping`: anew when a kind has come, and when kopf has failed.

        kopf gives up on everything when one of its watches is refused, as of a kind that was taken
        away. What happened while nobody watched is then listed.
        """
        backoff = Backoff(first_s=1.0, most_s=30.0)
        failures = 0
        while not stopping.is_set():
            began = time.monotonic()
            try:
                await self._watch_once(on_signal)
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it was, the watches are needed
                failures = 1 if time.monotonic() - began > backoff.most_s else failures + 1
                wait_s = backoff.wait_s(failures, random.random())
                self.metrics.watch_failures.inc()
                logger.error("watches failed", extra={"why": str(error), "again_s": wait_s})
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), wait_s)
            if not stopping.is_set():
                with _shrug("cannot list"):
                    for key in await self.listing.everything():
                        self.queue.add(key)

    async def _watch_once(self, on_signal: Callable[[], None]) -> None:
        namespaces = self.settings.namespaces
        self._end_watches.clear()
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=handlers(self.cache, self.metrics, self.queue.add),
            settings=watch_settings(scan=not namespaces),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            # kopf would ask the system who runs it, which fails where the pod's user has no name.
            identity=_IDENTITY,
            stop_flag=self._end_watches,
        )
        # kopf took the signals; ours end the actions under way before the watches.
        _on_signals(on_signal)
        await kopf.run_tasks(tasks, ignored=others)

    async def finish(self, workers: Collection[asyncio.Task[None]]) -> None:
        """End: no new look, those under way to their end, then the watches."""
        self.ready = False
        self.queue.close()
        if workers:
            _, late = await asyncio.wait(workers, timeout=FINISH_S)
            if late:
                logger.warning("looks cut short", extra={"count": len(late)})
        self._end_watches.set()


async def run(settings: OperatorSettings, faults: Faults) -> int:
    """Run the operator until a signal, or until a part of it fails.

    Returns:
        The exit code.
    """
    metrics = Metrics()
    stopping = asyncio.Event()
    api = await KubeApi.connect(metrics, settings.api_timeout_s)
    async with Heads(settings.request_timeout_s) as heads:
        operator = Operator(settings, api, heads, faults, metrics)
        try:
            await operator.health.start(settings.http_port)
            logger.info("started", extra={"http_port": operator.health.port})
            return await _run(operator, stopping)
        finally:
            await operator.health.stop()
            await api.close()


async def _run(operator: Operator, stopping: asyncio.Event) -> int:
    _on_signals(stopping.set)
    failed: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    def start(name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        tasks.append(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[Any]) -> None:
        # A part that is missing is worse than a restart.
        if task.cancelled() or stopping.is_set():
            return
        logger.error("part ended", extra={"part": task.get_name()}, exc_info=task.exception())
        failed.append(task.get_name())
        stopping.set()

    async def when_stopping() -> None:
        await stopping.wait()
        await operator.finish([one for one in tasks if one.get_name().startswith("worker")])

    priming = asyncio.create_task(operator.prime(), name="prime")
    stopper = asyncio.create_task(when_stopping(), name="stop")
    await asyncio.wait({priming, stopper}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if stopping.is_set():
            return 0
        await priming
        for number in range(operator.settings.workers):
            start(f"worker {number}", operator.controller.work())
        start("poller", operator.poller.run())
        start("resync", operator.resync())
        start("await KubeRay", operator.await_kuberay())
        await operator.watch(stopping, stopping.set)
        return 1 if failed else 0
    finally:
        stopping.set()
        for task in (priming, *tasks):
            task.cancel()
        await asyncio.gather(priming, *tasks, stopper, return_exceptions=True)
        logger.info("stopped", extra={"failed": ", ".join(failed)})


def _on_signals(call: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, call)


@contextlib.contextmanager
def _shrug(event: str) -> Any:
    """Log what goes wrong and go on: it is tried again by and by."""
    try:
        yield
    except ApiError as error:
        logger.warning(event, extra={"why": str(error)})
    except Exception:
        logger.exception(event)


def main() -> int:
    """Run the operator; returns the exit code."""
    try:
        settings = OperatorSettings.from_environment()
        faults = Faults.from_environment(os.environ)
    except (SettingsError, FaultError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.set_up(settings.log_level)
    try:
        return asyncio.run(run(settings, faults))
    except ConfigException as error:
        sys.stderr.write(f"no Kubernetes to talk to: {error}; set KUBECONFIG\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
