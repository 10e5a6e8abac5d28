"""A process of its own that watches a driver and its Ray node: CPU, memory, object store.

`measure.Meter` starts it beside each driver and talks to it in lines: `begin` and `end` on its
stdin, one JSON line per `end` on its stdout. It is a separate process so that a driver which
holds its own interpreter lock is still seen, and so that watching costs the driver nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CPU_PERIOD_S = 0.1
# Looking for new processes means reading all of /proc (about 2 ms), so less often.
SCAN_PERIOD_S = 0.5
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def anonymous_bytes(pid: int) -> int:
    """Anonymous resident memory of a process: its own, without mapped files and shared memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process since it began, to the kernel's tick (usually 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def fine_cpu_seconds(pid: int) -> float:
    """CPU time of the threads alive now, in nanosecond steps."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def title_of(pid: int) -> str:
    """The command line, as Ray's workers rewrite it: `ray::ClassName.method`."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def is_worker(title: str) -> bool:
    """Whether a child of the raylet runs user code, or is about to."""
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    return title.startswith("ray::") and not title.startswith(agents)


class StoreProbe:
    """Asks the raylet about its object store; one channel for all questions."""

    def __init__(self, address: str) -> None:
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated import node_manager_pb2_grpc

        messages: Any = importlib.import_module("ray.core.generated.node_manager_pb2")
        self._stub = node_manager_pb2_grpc.NodeManagerServiceStub(init_grpc_channel(address))
        self._request = messages.GetNodeStatsRequest(include_memory_info=False)

    def read(self) -> dict[str, int]:
        """Bytes in use, pinned, outside shared memory, and spilled since the node began.

        What is in use but not pinned is free for the taking: Ray deletes freed objects once a
        second, or as soon as room is needed.
        """
        stats = self._stub.GetNodeStats(self._request, timeout=30.0).store_stats
        return {
            "used": int(stats.object_store_bytes_used),
            "pinned": int(stats.object_store_bytes_primary_copy),
            "fallback": int(stats.object_store_bytes_fallback),
            "spilled": int(stats.spilled_bytes_total),
        }


@dataclass
class ProcessUse:
    """CPU of one process during a measurement."""

    title: str
    at_begin: float
    now: float
    fine_at_begin: float = 0.0
    fine_now: float = 0.0


@dataclass
class Watch:
    """One measurement: what has been seen since `begin`.

    Attributes:
        driver: pid of the driver.
        raylet: pid of the raylet; its children are the workers.
        gcs: pid of the cluster's control store.
    """

    driver: int
    raylet: int
    gcs: int
    probe: StoreProbe | None
    store_period_s: float
    processes: dict[int, ProcessUse] = field(default_factory=dict)
    anon_begin: int = 0
    anon_peak: int = 0
    store_peak: int = 0
    pinned_peak: int = 0
    fallback_peak: int = 0
    spilled_begin: int = 0
    samples: int = 0
    last_scan: float = 0.0
    last_store: float = 0.0

    def begin(self) -> None:
        self.anon_begin = self.anon_peak = anonymous_bytes(self.driver)
        self._scan(first=True)
        if self.probe:
            self.spilled_begin = self.probe.read()["spilled"]

    def sample(self, everything: bool = False) -> None:
        now = time.monotonic()
        self.samples += 1
        self.anon_peak = max(self.anon_peak, anonymous_bytes(self.driver))
        if everything or now - self.last_scan >= SCAN_PERIOD_S:
            self._scan()
        else:
            self._read_cpu()
        if self.probe and (everything or now - self.last_store >= self.store_period_s):
            self.last_store = now
            store = self.probe.read()
            self.store_peak = max(self.store_peak, store["used"])
            self.pinned_peak = max(self.pinned_peak, store["pinned"])
            self.fallback_peak = max(self.fallback_peak, store["fallback"])

    def end(self) -> dict[str, Any]:
        self.sample(everything=True)
        spilled = self.probe.read()["spilled"] - self.spilled_begin if self.probe else 0
        return {
            "anon_begin": self.anon_begin,
            "anon_peak": self.anon_peak,
            "store_peak": self.store_peak,
            "pinned_peak": self.pinned_peak,
            "fallback_peak": self.fallback_peak,
            "spilled": spilled,
            "samples": self.samples,
            "processes": [
                {
                    "pid": pid,
                    "title": use.title[:60],
                    "role": self._role(pid, use.title),
                    "cpu_s": use.now - use.at_begin,
                    "fine_cpu_s": use.fine_now - use.fine_at_begin,
                }
                for pid, use in sorted(self.processes.items())
            ],
        }

    def _role(self, pid: int, title: str) -> str:
        named = {self.driver: "driver", self.raylet: "raylet", self.gcs: "gcs"}
        return named.get(pid) or ("worker" if is_worker(title) else "agent")

    def _scan(self, first: bool = False) -> None:
        self.last_scan = time.monotonic()
        ray = [self.raylet, self.gcs, *children_of(self.raylet)] if self.raylet else []
        for pid in (self.driver, *ray):
            if pid not in self.processes:
                cpu = cpu_seconds_or_none(pid) if first else 0.0
                fine = _fine_or_zero(pid) if first else 0.0
                self.processes[pid] = ProcessUse("", cpu or 0.0, cpu or 0.0, fine, fine)
        self._read_cpu(titles=True)

    def _read_cpu(self, titles: bool = False) -> None:
        for pid, use in self.processes.items():
            cpu = cpu_seconds_or_none(pid)
            if cpu is None:
                continue
            use.now = cpu
            if titles:
                use.title = title_of(pid) or use.title
                use.fine_now = max(use.fine_now, _fine_or_zero(pid))


def cpu_seconds_or_none(pid: int) -> float | None:
    """`cpu_seconds`, or None for a process that is gone."""
    try:
        return cpu_seconds(pid)
    except OSError:
        return None


def _fine_or_zero(pid: int) -> float:
    try:
        return fine_cpu_seconds(pid)
    except OSError:
        return 0.0


def main() -> None:
    """Serve `begin` and `end` until stdin closes. Arguments: one JSON object."""
    spec = json.loads(sys.argv[1])
    probe = StoreProbe(spec["node_manager"]) if spec["node_manager"] else None
    watch: Watch | None = None
    print("ready", flush=True)
    while True:
        timeout = CPU_PERIOD_S if watch else None
        if not select.select([sys.stdin], [], [], timeout)[0]:
            if watch:
                watch.sample()
            continue
        line = sys.stdin.readline().strip()
        if not line:
            return
        if line == "begin":
            watch = Watch(
                spec["driver"], spec["raylet"], spec["gcs"], probe, 1.0 / spec["store_hz"]
            )
            watch.begin()
            print("begun", flush=True)
        elif line == "end" and watch:
            print(json.dumps(watch.end()), flush=True)
            watch = None


if __name__ == "__main__":
    main()
