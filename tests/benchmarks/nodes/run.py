"""`make bench-nodes`: what the operator costs on a real cluster, and what a start consists of.

Needs a cluster that is up (`make kind-up`) and leaves it as it was. Three figures:

- the start: from `kubectl apply` to the first finished task, step by step;
- the overhead: a pipeline of three minutes through the operator, against the same Ray job submitted
  by hand to the same cluster afterwards;
- the end: from the last task to `Succeeded`, and until no pod is left.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cluster.kind import cluster
from tests.cluster.processes import eventually
from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.system import System
from tests.e2e.team import Team

# 2 workers of 0.25 CPUs do 0.5 s each: 720 numbers take three minutes.
SHARDS, EACH, SECONDS = 90, 8, 0.5
SUBMIT = """
import json, os, time, urllib.request
base = "http://127.0.0.1:8265/api/jobs/"
head = {"Content-Type": "application/json"}
head["Authorization"] = "Bearer " + os.environ["RAY_AUTH_TOKEN"]
def ask(path, body=None):
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(base + path, data, head)) as answer:
        return json.loads(answer.read())
began = time.time()
made = ask("", {"entrypoint": "python -m curator_executor run /etc/curator/pipeline.yaml",
                "entrypoint_num_cpus": 0})["submission_id"]
while ask(made)["status"] not in ("SUCCEEDED", "FAILED", "STOPPED"):
    time.sleep(0.2)
seen = time.time()
print(json.dumps({**ask(made), "posted": began, "seen": seen}))
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


def _since(pod: dict[str, Any], kind: str) -> float:
    """Seconds since 1970 at which a condition of a pod last changed; whole ones."""
    (found,) = [each for each in pod["status"]["conditions"] if each["type"] == kind]
    return datetime.fromisoformat(found["lastTransitionTime"]).timestamp()


def overhead(team: Team) -> dict[str, float]:
    """Wall seconds of the same work, through the operator and by hand on the cluster it left."""
    stages = numbers(SHARDS, EACH, SECONDS, workers={"count": 2})
    one = pipeline("long", stages, image=team.image)
    one["spec"]["cluster"]["keepAfterFinish"] = True
    team.apply(one)
    submitted = team.wait("long", lambda status: status.get("submissionId"), "a submission")
    team.wait_for_phase("long", "Running", "Succeeded")
    (head,) = team.listed("pods", "-l", "curator.dev/pipeline=long,ray.io/node-type=head")
    ready = _since(head, "Ready")
    team.wait_for_phase("long", "Succeeded", within_s=480.0)
    ended = time.time()
    by_operator = json.loads(_in_head(team, _job_of(submitted["submissionId"])))
    by_hand = json.loads(_in_head(team, SUBMIT))
    assert by_hand["status"] == "SUCCEEDED", by_hand
    posted = by_operator["start_time"] / 1000
    return {
        "head is ready until the job starts, through the operator (to the second)": posted - ready,
        "through the operator, from the job's start to Succeeded": ended - posted,
        "by hand, from the job's start to SUCCEEDED": by_hand["seen"]
        - by_hand["start_time"] / 1000,
        "job alone, through the operator": _took(by_operator),
        "job alone, by hand": _took(by_hand),
    }


def _took(job: dict[str, Any]) -> float:
    return float(job["end_time"] - job["start_time"]) / 1000


def _job_of(submission: str) -> str:
    asking = SUBMIT.partition("began =")[0]
    return f"{asking}\nprint(json.dumps(ask({submission!r})))"


def _in_head(team: Team, program: str) -> str:
    return team.kubectl("exec", team.head("long"), "-c", "ray-head", "--", "python", "-c", program)


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
        System(kind, Path(home)).install()
        for name, measure in (("start", start_and_end), ("overhead", overhead)):
            if asked.only in (None, name):
                team = Team(kind, f"bench-{name}-{int(time.time()) % 10000}")
                try:
                    figures[name] = measure(team)
                finally:
                    team.remove()
    for name, found in figures.items():
        print(f"\n{name}")
        for step, seconds in found.items():
            print(f"  {seconds:7.1f} s  {step}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
