"""The witness of a storm: what must never happen, seen from the API server and the heads.

Used by `storm.py`. It never asks the operator; of the operator's log it only takes what it shows
beside a fault that it found.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.benchmarks.operator.api import PIPELINES, RAYCLUSTERS, Api, Json
from tests.cluster.fault_proxy import Asked
from tests.cluster.ray_heads import RayHeads
from tests.cluster.storm_cluster import ATTEMPT_LABEL, PIPELINE_LABEL
from tests.cluster.storm_lives import Life

FINALIZER = "curator.dev/cleanup"
ENDED = {"Succeeded", "Failed"}
ALIVE = {"PENDING", "RUNNING"}
ANSWER_WITHIN_S = 10.0


class Word(NamedTuple):
    """A line of a life's story; `at` is seconds since 1970."""

    at: float
    text: str


class Ask:
    """Reads objects from the API server at once, from any thread."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._url = cluster["server"]
        self._trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}

    def __call__(self, path: str) -> Json:
        """The object, {} where there is none."""
        request = urllib.request.Request(f"{self._url}/{path}", headers=self._headers)
        try:
            with urllib.request.urlopen(
                request, timeout=ANSWER_WITHIN_S, context=self._trust
            ) as got:
                found: Json = json.loads(got.read())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise
        return found


class Witness:
    """Sees pipelines, RayClusters and submissions, and notes what must not be.

    Attributes:
        now: the newest version of each pipeline that is there, by name.
        clusters: the newest version of each RayCluster that is there, by name.
        wrongs: what must not be, by life.
        story: what happened, by life.
        accepted: submissions that took effect, by life.
        on_phase: called with a pipeline's name and phase whenever a version of it is seen.
    """

    def __init__(self, api: Api, ask: Ask, namespace: str, lives: dict[str, Life]) -> None:
        self._api = api
        self._ask = ask
        self._namespace = namespace
        self._lives = lives
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], str] = {}
        self.heads: RayHeads | None = None
        self.containers: dict[tuple[str, str], Any] = {}
        self.now: dict[str, Json] = {}
        self.gone: set[str] = set()
        self.clusters: dict[str, Json] = {}
        self.wrongs: dict[str, list[str]] = defaultdict(list)
        self.story: dict[str, list[Word]] = defaultdict(list)
        self.accepted: dict[str, list[str]] = defaultdict(list)
        self.on_phase: Callable[[str, str], None] = lambda _name, _phase: None

    def tell(self, life: str, text: str) -> None:
        """A line of a life's story."""
        with self._lock:
            self.story[life].append(Word(time.time(), text))

    def wrong(self, life: str, text: str) -> None:
        """Something that must not be."""
        self.tell(life, f"WRONG: {text}")
        with self._lock:
            self.wrongs[life].append(text)

    async def pipelines(self) -> None:
        """Follow pipelines until cancelled."""
        path = f"{PIPELINES}/namespaces/{self._namespace}/curatorpipelines"
        async for kind, pipeline in self._api.watch(path):
            name = pipeline["metadata"]["name"]
            if kind == "DELETED":
                self.now.pop(name, None)
                self.gone.add(name)
                self.tell(name, "the pipeline is gone")
                self._job_rests(name)
                continue
            before = self.now.get(name, {}).get("status") or {}
            self.now[name] = pipeline
            self._compare(name, before, pipeline.get("status") or {})
            self.on_phase(name, str((pipeline.get("status") or {}).get("phase") or ""))

    async def ray_clusters(self) -> None:
        """Follow RayClusters until cancelled."""
        path = f"{RAYCLUSTERS}/namespaces/{self._namespace}/rayclusters"
        async for kind, cluster in self._api.watch(path):
            meta = cluster["metadata"]
            life = meta["labels"][PIPELINE_LABEL]
            if kind == "DELETED":
                self.clusters.pop(meta["name"], None)
                self.tell(life, f"RayCluster {meta['name']} is gone")
                continue
            self.clusters[meta["name"]] = cluster
            if kind == "ADDED":
                self.tell(life, f"RayCluster {meta['name']} is made")
                self._only_one(life, int(meta["labels"][ATTEMPT_LABEL]), meta["uid"])

    def _only_one(self, life: str, attempt: int, uid: str) -> None:
        before = self._made.setdefault((life, attempt), uid)
        if before != uid:
            self.wrong(life, f"a second RayCluster for attempt {attempt}")

    def _compare(self, life: str, before: Json, after: Json) -> None:
        old, new = before.get("phase"), after.get("phase")
        attempt, known = after.get("attempt") or 0, before.get("attempt") or 0
        if (old, known) != (new, attempt):
            said = f"{new}, attempt {attempt}, job {after.get('submissionId')}"
            self.tell(life, f"status: {said}: {after.get('message')}")
        if old in ENDED and new != old:
            self.wrong(life, f"phase {new} after the end {old}")
        if attempt not in {known, known + 1}:
            self.wrong(life, f"attempt {attempt} after {known}")

    def _job_rests(self, life: str) -> None:
        """A pipeline is gone: none of its jobs may run on that nobody asked to end."""
        for cluster, job_id in self._live_jobs(life):
            assert self.heads
            job = self.heads.head(self._namespace, cluster).jobs[job_id]
            if job.drained_at is None and job.stopped_at is None:
                self.wrong(life, f"the pipeline is gone and job {job_id} was not asked to end")

    def asked(self, asked: Asked) -> None:
        """The operator asks the API server: a RayCluster may be made only for a named attempt."""
        if asked.what != "POST rayclusters":
            return
        meta = json.loads(asked.body)["metadata"]
        pipeline = self._pipeline(asked.life)
        named = (pipeline.get("status") or {}).get("rayCluster")
        # One that is gone has no child for long: the garbage collector takes it.
        if pipeline and named != meta["name"]:
            self.wrong(asked.life, f"RayCluster {meta['name']} is made, the status names {named}")

    def submitting(self, cluster: str, job_id: str, is_known: bool) -> None:
        """A head is about to take a job; called from its thread."""
        life = cluster.rsplit("-", 2)[0]
        self.tell(life, f"job {job_id} is submitted to {cluster}{' again' * is_known}")
        if is_known:
            return
        if job_id in self.accepted[life]:
            self.wrong(life, f"job {job_id} takes effect a second time")
        others = self._live_jobs(life)
        if others:
            self.wrong(life, f"job {job_id} is submitted while {others} run")
        self.accepted[life].append(job_id)
        pipeline = self._pipeline(life)
        named = (pipeline.get("status") or {}).get("submissionId")
        if named != job_id:
            self.wrong(life, f"job {job_id} is submitted, the status names {named}")
        if FINALIZER not in pipeline.get("metadata", {}).get("finalizers", []):
            self.wrong(life, f"job {job_id} is submitted, the pipeline has no finalizer")

    def _live_jobs(self, life: str) -> list[tuple[str, str]]:
        """Jobs of a life that run on heads that run."""
        assert self.heads, "the heads were not handed over"
        now = self.heads.now()
        return [
            (cluster, job_id)
            for (namespace, cluster), head in self.heads.heads().items()
            if namespace == self._namespace and cluster.startswith(f"{life}-")
            if (namespace, cluster) in self.containers
            for job_id, job in list(head.jobs.items())
            if job.status(now) in ALIVE
        ]

    def _pipeline(self, life: str) -> Json:
        return self._ask(f"{PIPELINES}/namespaces/{self._namespace}/curatorpipelines/{life}")

    def unfinished(self) -> dict[str, str]:
        """What still keeps each life from its end, by life."""
        left = {name: self.lacks(life) for name, life in self._lives.items()}
        return {name: text for name, text in left.items() if text}

    def lacks(self, life: Life) -> str:
        """What a life lacks of the end that it must have; "" if nothing."""
        if not life.end.phase:
            return "" if life.name in self.gone else "the pipeline is still there"
        pipeline = self.now.get(life.name)
        if pipeline is None:
            return "there is no pipeline"
        status = pipeline.get("status") or {}
        end = life.end
        if status.get("phase") != end.phase:
            return f"wanted {end.phase}, is {status.get('phase')}: {status.get('message')}"
        if pipeline["metadata"].get("finalizers"):
            return "it has ended and keeps its finalizer"
        mine = [name for name in self.clusters if name.startswith(f"{life.name}-")]
        return f"RayClusters {mine} are left" if mine else ""
