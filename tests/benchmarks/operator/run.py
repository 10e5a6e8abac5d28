"""Measure the operator: `python -m tests.benchmarks.operator.run --pipelines 200 --running 40`.

Starts an API server, the operator and a stand-in for KubeRay, nodes and Ray heads, all on the
loopback, applies pipelines, and watches from outside what the operator makes of them; `bench` has
the steps. Nothing stays behind, and nothing runs longer than `--limit` says. Exit code 1 if
something went wrong or a figure got worse than `bounds.yaml` allows. Needs `make cluster-binaries`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.operator.bench import Bench, Sizes
from tests.benchmarks.operator.figures import figures
from tests.benchmarks.operator.report import text_table
from tests.benchmarks.run import hardware
from tests.cluster import binaries, kuberay
from tests.cluster.control_plane import BINARIES, ControlPlane
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.processes import Program, eventually

CRD = binaries.ROOT / "crds" / "curatorpipelines.yaml"
TOKEN_KEY = "a key for benchmarks alone, and long enough for them"
# The load is bounded: more than this is another benchmark, on another machine.
MOST_PIPELINES = 2000
LOOPBACK_READY_S = 30.0


def measure(sizes: Sizes, limit_s: float, keep: Path | None) -> dict[str, Any]:
    """Run the whole benchmark.

    Args:
        sizes: how much of everything.
        limit_s: it ends with an error after this long.
        keep: where logs go; a temporary folder if it is left out.

    Returns:
        `{"meta": …, "measured": {figure: value}, "beside": {…}, "faults": […]}`.
    """
    load_before, began = os.getloadavg()[0], time.time()
    with tempfile.TemporaryDirectory() as scratch:
        directory = keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        results = _measure(sizes, limit_s, directory)
    hard = {key: value for key, value in hardware().items() if key in {"cpu", "cores", "python"}}
    meta = {
        "pipelines": sizes.pipelines,
        "running": sizes.running,
        "steady_s": sizes.steady_s,
        "rate": sizes.rate,
        "late": sizes.late,
        "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
        "seconds": round(time.time() - began),
        "load_before": round(load_before, 2),
        "hardware": hard,
    }
    return {"meta": meta, **results}


def _measure(sizes: Sizes, limit_s: float, directory: Path) -> dict[str, Any]:
    for name in ("control-plane", "stand-in", "operator"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()
    with ControlPlane(directory / "control-plane") as control_plane:
        control_plane.install_crds(CRD, *kuberay.crds(control_plane.directory))
        stand_in = Program(
            "stand-in",
            [
                sys.executable,
                "-m",
                "tests.benchmarks.operator.stand_in",
                control_plane.kubeconfig,
                directory / "stand-in",
            ],
            directory / "stand-in",
            {**os.environ, "PYTHONPATH": str(binaries.ROOT)},
        )
        url = directory / "stand-in" / "heads.url"
        eventually(lambda: url.exists() and url.read_text(), "the heads", LOOPBACK_READY_S)
        operator = OperatorProcess(
            control_plane.kubeconfig,
            directory / "operator",
            {
                "CURATOR_TOKEN_KEY": TOKEN_KEY,
                "CURATOR_DASHBOARD_URL": url.read_text(),
                "CURATOR_DRIVER_URL": url.read_text(),
            },
        )
        operator.start_without_waiting()
        bench = Bench(sizes, control_plane, operator, stand_in, directory / "stand-in")
        try:
            return asyncio.run(asyncio.wait_for(bench.run(), limit_s))
        finally:
            operator.kill()
            stand_in.stop()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.operator.run")
    parser.add_argument("--pipelines", type=int, default=200)
    parser.add_argument("--running", type=int, default=40, help="of these, how many run")
    parser.add_argument("--steady", type=float, default=300, help="seconds of steady running")
    parser.add_argument("--warm-up", type=float, default=60, help="seconds before them")
    parser.add_argument("--rate", type=float, default=5, help="pipelines applied in a second")
    parser.add_argument("--late", type=int, default=100, help="applied one a second at the end")
    parser.add_argument("--limit", type=float, default=1500, help="longest duration, seconds")
    parser.add_argument("--json", type=Path, help="where the measurements go")
    parser.add_argument("--keep", type=Path, help="where logs go")
    given = parser.parse_args()
    if not 0 < given.running <= given.pipelines <= MOST_PIPELINES:
        parser.error(f"wanted 0 < running ≤ pipelines ≤ {MOST_PIPELINES}")
    binaries.ensure(BINARIES)
    sizes = Sizes(
        given.pipelines, given.running, given.steady, given.warm_up, given.rate, given.late
    )
    results = measure(sizes, given.limit, given.keep and given.keep.resolve())
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=1))
    found = figures(results)
    print(text_table(found))
    print(json.dumps(results["beside"], indent=1))
    for fault in results["faults"]:
        print(f"FAULT {fault}")
    failed = results["faults"] or not all(one.bound.holds(one.value) for one in found)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
