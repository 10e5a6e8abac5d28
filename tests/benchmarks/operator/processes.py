"""What processes cost, read from outside once a second. Used by `run`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import psutil

EVERY_S = 1.0


class Gauge:
    """Memory and processor time of named processes.

    Args:
        pids: by name; asked for at each look, because the operator is started anew.

    Attributes:
        memory: by name, (seconds since 1970, bytes in RAM).
        rss_peak: by name, the most bytes.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self.memory: dict[str, list[tuple[float, int]]] = {}
        self.rss_peak: dict[str, int] = {}

    async def follow(self) -> None:
        """Look until cancelled."""
        while True:
            for name, pid in self._pids().items():
                try:
                    rss = psutil.Process(pid).memory_info().rss
                except psutil.NoSuchProcess:  # between two starts
                    continue
                self.memory.setdefault(name, []).append((time.time(), rss))
                self.rss_peak[name] = max(self.rss_peak.get(name, 0), rss)
            await asyncio.sleep(EVERY_S)

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds of each so far."""
        spent: dict[str, float] = {}
        for name, pid in self._pids().items():
            times = psutil.Process(pid).cpu_times()
            spent[name] = times.user + times.system
        return spent

    def between(self, name: str, begin: float, end: float) -> list[tuple[float, int]]:
        """Samples of one process in a span of time."""
        return [one for one in self.memory.get(name, []) if begin <= one[0] <= end]
