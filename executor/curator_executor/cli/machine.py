"""What this machine offers: cores, memory, GPUs, read without starting Ray. Called by `plan`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_DEVICES = Path("/dev")


@dataclass(frozen=True)
class Machine:
    """Resources of a machine.

    Attributes:
        cpus: cores that this process may use.
        memory: bytes, or 0 if not known.
        gpus: NVIDIA devices that this process may use.
    """

    cpus: int
    memory: int = 0
    gpus: int = 0


def this_machine(
    cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO, devices: Path = _DEVICES
) -> Machine:
    """Cores and memory within the container's limits, and the GPUs that are visible."""
    return Machine(_cpus(cgroup), _memory(cgroup, meminfo), _gpus(devices))


def _cpus(cgroup: Path) -> int:
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS has no affinity
        cores = os.cpu_count() or 1
    quota = _read(cgroup / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        cores = min(cores, max(1, int(quota[0]) // int(quota[1])))
    return cores


def _memory(cgroup: Path, meminfo: Path) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read(meminfo), re.MULTILINE)
    total = int(found.group(1)) * 1024 if found else 0
    limit = _read(cgroup / "memory.max").strip()
    if limit.isdigit():
        total = min(total, int(limit)) if total else int(limit)
    return total


def _gpus(devices: Path) -> int:
    present = len([p for p in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name)])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    named = [part for part in visible.split(",") if part.strip() not in ("", "-1")]
    return min(present, len(named))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
