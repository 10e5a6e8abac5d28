"""`make bench-nodes`: what the operator costs on a real cluster, and what a start consists of.

Needs a cluster that is up (`make kind-up`) and leaves it as it was. Three figures:

- the start: from `kubectl apply` to the first finished task, step by step;
- the overhead: a pipeline of three minutes through the operator, against the same Ray job submitted
  by hand, by turns on one cluster that is there already;
- the end: from the last task to `Succeeded`, and until no pod is left.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.kind import cluster
from tests.cluster.processes import eventually
from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.shared_cluster import SHARED, may_read_token, on_shared_cluster, ray_cluster
from tests.e2e.system import System
from tests.e2e.team import Team

# 2 workers of 0.25 CPUs do 0.5 s each: 720 numbers take three minutes.
SHARDS, EACH, SECONDS = 90, 8, 0.5
TURNS = 2
# As a person does it: `ray job submit --working-dir`, which is how the operator hands a manifest to
# a cluster that is not the pipeline's own.
FOLDER = "/tmp/by-hand"
SUBMIT = f"""
import json, time
from ray.job_submission import JobSubmissionClient
client = JobSubmissionClient("http://127.0.0.1:8265")
began = time.time()
job = client.submit_job(entrypoint="python -m curator_executor run pipeline.yaml",
                        runtime_env={{"working_dir": "{FOLDER}"}}, entrypoint_num_cpus=0)
while not client.get_job_status(job).is_terminal():
    time.sleep(0.2)
print(json.dumps([client.get_job_status(job), time.time() - began]))
"""


def start_and_end(team: Team) -> dict[str, float]:
    """Seconds after `kubectl apply` at which each step of a small pipeline was seen."""
    seen: dict[str, float] = {}
    began = time.time()
    team.apply(pipeline("start", numbers(8, 1, 0.2), image=team.image))

    def note(step: str, reached: Callable[[], Any]) -> None:
        if step not in seen and reached():
            seen[step] = time.time() - began

    def look() -> bool:
        pods = team.pods("start")
        for step, reached in _steps(team, pods).items():
            note(step, reached)
        return "no pod is left" in seen

    eventually(look, "the end of the pipeline", 240.0)
    saved = sorted(path.stat().st_mtime for path in (team.data / "out").glob("*.json"))
    seen["first task is done"], seen["last task is done"] = saved[0] - began, saved[-1] - began
    return dict(sorted(seen.items(), key=lambda item: item[1]))


def _steps(team: Team, pods: list[dict[str, Any]]) -> dict[str, Callable[[], Any]]:
    of = {each["metadata"]["labels"].get("ray.io/node-type"): each for each in pods}
    status = team.status("start")
    return {
        "RayCluster is made": lambda: status.get("rayCluster"),
        "head pod is made": lambda: "head" in of,
        "head container runs": lambda: _runs(of.get("head")),
        "head is ready": lambda: _is(of.get("head"), "Ready"),
        "worker container runs": lambda: _runs(of.get("worker")),
        "worker is ready": lambda: _is(of.get("worker"), "Ready"),
        "status says Running": lambda: status.get("phase") == "Running",
        "status says Succeeded": lambda: status.get("phase") == "Succeeded",
        "no pod is left": lambda: status.get("phase") == "Succeeded" and not pods,
    }


def _runs(pod: dict[str, Any] | None) -> bool:
    found = (pod or {}).get("status", {}).get("containerStatuses", [])
    return bool(found) and all("running" in each["state"] for each in found)


def _is(pod: dict[str, Any] | None, kind: str) -> bool:
    found = (pod or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == kind and each["status"] == "True" for each in found)


def overhead(team: Team) -> dict[str, float]:
    """Wall seconds of the same work on one cluster, by turns by hand and through the operator."""
    team.apply(ray_cluster(team.image))
    team.kubectl("wait", "raycluster", SHARED, "--for=condition=HeadPodReady", "--timeout=120s")
    stages = numbers(SHARDS, EACH, SECONDS, workers={"count": 2})
    manifest = json.dumps(pipeline("by-hand", stages, image=team.image))
    write = f"mkdir {FOLDER}; cat > {FOLDER}/pipeline.yaml"
    team.kubectl(*_IN_HEAD, _head(team), "--", "sh", "-c", write, stdin=manifest)
    walls: dict[str, list[float]] = {"by hand": [], "through the operator": []}
    for turn in range(TURNS):
        walls["by hand"].append(_by_hand(team))
        walls["through the operator"].append(_through_operator(team, f"turn-{turn}", stages))
    said = {
        f"{how}, turn {turn}": wall
        for how, found in walls.items()
        for turn, wall in enumerate(found, 1)
    }
    by_hand, through = (sum(found) / TURNS for found in walls.values())
    return {**said, "more through the operator, mean": through - by_hand}


def _by_hand(team: Team) -> float:
    """From the request to the first answer that says SUCCEEDED, asked for five times a second."""
    said = team.kubectl(*_IN_HEAD, _head(team), "--", "python", "-c", SUBMIT)
    state, took = json.loads(said.splitlines()[-1])
    assert state == "SUCCEEDED", said
    return float(took)


def _through_operator(team: Team, name: str, stages: list[dict[str, Any]]) -> float:
    """From `kubectl apply` to the phase Succeeded."""
    began = time.time()
    team.apply(on_shared_cluster(name, stages, team.image))
    team.wait_for_phase(name, "Succeeded", within_s=480.0)
    return time.time() - began


_IN_HEAD = ("exec", "-i", "-c", "ray-head")


def _head(team: Team) -> str:
    (pod,) = team.listed("pods", "-l", f"ray.io/cluster={SHARED},ray.io/node-type=head")
    return str(pod["metadata"]["name"])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench-nodes", description=main.__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--only", choices=("start", "overhead"))
    asked = parser.parse_args()
    kind = cluster.current()
    if kind is None:
        print("no cluster is up: `make kind-up` first", file=sys.stderr)
        return 1
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as home:
        system = System(kind, Path(home))
        for name, measure in (("start", start_and_end), ("overhead", overhead)):
            if asked.only in (None, name):
                team = Team(kind, f"bench-{name}-{int(time.time()) % 10000}")
                try:
                    system.install(may_read_token(team.name))
                    figures[name] = measure(team)
                finally:
                    team.remove()
    for name, found in figures.items():
        print(f"\n{name}")
        for step, seconds in found.items():
            print(f"  {seconds:7.1f} s  {step}")
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
