"""Measure: `python -m tests.benchmarks.run --quick`, from the root of the repository.

Starts one Ray node for each object-store size, lets the contestants of `plan` do their work on it
one after the other, each in a driver process of its own, and prints the figures against their
targets. Nothing stays behind. Exit code 1 if outputs were wrong, something spilled or stayed
behind, or a figure got worse than `bounds.yaml` allows.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import faults, figures
from tests.benchmarks.head import LOGICAL_CPUS, ROOT, HeadAddress, RayHead, run_environment
from tests.benchmarks.plan import Planned, planned
from tests.benchmarks.report import text_table

Result = dict[str, Any]


def hardware() -> dict[str, Any]:
    """What the figures were measured on."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpus[0] if cpus else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "logical_cpus": LOGICAL_CPUS,
        "python": platform.python_version(),
        "ray": importlib.metadata.version("ray"),
    }


def run_child(plan: Planned, head: HeadAddress | None, environment: dict[str, str]) -> Result:
    """Let one contestant work; its measurements, or the error that it ended with."""
    assignment = plan.assignment
    spec = json.dumps({**asdict(assignment), "head": asdict(head) if head else None})
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "out.json")
        log = Path(directory, "log")
        with log.open("w") as sink:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.child", spec, str(out)],
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment,
            )
            try:
                code: int | str = child.wait(plan.timeout_s)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                code = f"not done after {plan.timeout_s:.0f} s"
        if code == 0:
            result: Result = json.loads(out.read_text())
            return {**result, "store_bytes": plan.store_bytes}
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    return {
        **asdict(assignment),
        "store_bytes": plan.store_bytes,
        "measurements": [],
        "error": f"ended with {code}:\n{tail}",
    }


def measure(mode: str, only: frozenset[str] = frozenset(), contestants: str = "") -> Result:
    """Run the plan.

    Args:
        mode: `quick` or `full`.
        only: names of workloads; all if empty.
        contestants: comma-separated contestants; all if empty.

    Returns:
        `{"meta": ..., "runs": [...]}`, which `report` reads.
    """
    chosen = [p for p in planned(mode, only) if _is_chosen(p.assignment.contestant, contestants)]
    environment = run_environment()
    started, load = time.time(), os.getloadavg()[0]
    runs: list[Result] = []
    for (store_bytes, cpus), group in groupby(chosen, key=lambda plan: plan.node):
        with RayHead(store_bytes, cpus, environment) as head:
            for plan in group:
                _say(plan)
                runs.append(run_child(plan, head, environment))
                _say_result(runs[-1])
    meta = {
        "mode": mode,
        "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
        "seconds": round(time.time() - started, 1),
        "load_before": round(load, 2),
        "hardware": hardware(),
    }
    return {"meta": meta, "runs": runs}


def _is_chosen(contestant: str, contestants: str) -> bool:
    return not contestants or contestant in contestants.split(",")


def _say(plan: Planned) -> None:
    a = plan.assignment
    print(f"{a.workload:4} {a.contestant:11} {a.sizes} ...", file=sys.stderr, flush=True)


def _say_result(result: Result) -> None:
    for m in result["measurements"]:
        print(
            f"     n={m['n']:<9,} wall {m['wall_s']:8.2f} s  cpu driver {m['driver_cpu_s']:7.2f} s"
            f" workers {m['worker_cpu_s']:7.2f} s  anon {m['anon_peak'] / 1e6:6.0f} MB"
            f"  store {m['store_peak'] / 1e6:6.0f} MB (in use {m['pinned_peak'] / 1e6:.0f})"
            f"  spilled {m['spilled'] / 1e6:.0f} MB"
            f" {'; '.join(m['problems'] + m['left_behind'])}",
            file=sys.stderr,
            flush=True,
        )
    if "error" in result:
        print(f"     {result['error']}", file=sys.stderr, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--quick", action="store_true", help="about five minutes")
    form.add_argument("--full", action="store_true", help="three repetitions, large sizes")
    parser.add_argument("--only", default="", help="workloads, e.g. W1,W2")
    parser.add_argument("--contestants", default="", help="e.g. ours,raw")
    parser.add_argument("--json", type=Path, help="where the measurements go")
    arguments = parser.parse_args()
    only = frozenset(filter(None, arguments.only.split(",")))
    results = measure("quick" if arguments.quick else "full", only, arguments.contestants)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1))
    found, wrong = figures(results), faults(results)
    print(text_table(found))
    for fault in wrong:
        print(f"FAULT {fault}")
    sys.exit(1 if wrong or not all(figure.bound.holds(figure.value) for figure in found) else 0)


if __name__ == "__main__":
    main()
