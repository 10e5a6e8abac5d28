"""A stand-in for scheduler and kubelets: it binds pods, writes their status and ends them.

Used by the `kubelet` fixture. Tests say what happens to which pods, those to come included; until
they do, pods stay as the API server made them. Nothing is started: a "running" pod is one of which
the API says so.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import urllib3.exceptions
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.pod_status import Happening, Json, needs_node, running

NODE = "stand-in"
# A watch is opened anew after this long, in case nobody told that it had died.
WATCH_S = 60
RECONNECT_AFTER_S = 0.2
# The pod is gone, or is another one by now: there is nothing left to do.
OVERTAKEN = {404, 409}


@dataclass(frozen=True, eq=False)
class Rule:
    """What happens to the pods of a namespace that have these labels."""

    namespace: str
    labels: dict[str, str]
    happening: Happening

    def covers(self, pod: Json) -> bool:
        """Whether it is about this pod."""
        labels = pod["metadata"].get("labels") or {}
        here: bool = pod["metadata"]["namespace"] == self.namespace
        return here and all(labels.get(key) == value for key, value in self.labels.items())


class Kubelet:
    """Plays the nodes for all pods of an API; a context manager that ends its watch.

    Args:
        api: a client with the administrator's rights.
    """

    def __init__(self, api: client.ApiClient) -> None:
        # Its types know nothing of raw answers, which are many times faster to read.
        self._core: Any = client.CoreV1Api(api)
        self._lock = threading.RLock()
        self._rules: list[Rule] = []
        self._held: set[str] = set()
        self._pods: dict[str, Json] = {}
        self._written: dict[str, Rule] = {}
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="kubelet", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write nothing from now on; the watch ends at the latest with the API server."""
        self._ending.set()
        self._check()

    def let(
        self,
        happening: Happening,
        namespace: str,
        *,
        cluster: str | None = None,
        node_type: str | None = None,
        group: str | None = None,
    ) -> None:
        """From now on this happens to pods of a namespace: to new ones soon, and to those that are
        there before this returns.

        A later call overrides earlier ones for the pods that it covers.

        Args:
            happening: a function of `pod_status`.
            namespace: whose pods.
            cluster: only those of this RayCluster.
            node_type: only `head` or only `worker`.
            group: only those of this worker group (`headgroup`: the head).
        """
        labels = {"ray.io/cluster": cluster, "ray.io/node-type": node_type, "ray.io/group": group}
        wanted = {key: value for key, value in labels.items() if value is not None}
        with self._lock:
            self._check()
            self._rules.append(Rule(namespace, wanted, happening))
            # The watch may not have told of pods yet that the test has already seen.
            for pod in self._list(namespace):
                self._note("MODIFIED", pod)

    def happen(self, happening: Happening, namespace: str, name: str) -> None:
        """This happens to one pod now, once; it is written when this returns.

        Raises:
            ApiException: there is no such pod, or the API server refuses the status.
        """
        with self._lock:
            self._check()
            self._write(self._read(namespace, name), happening)

    def hold_deletions(self, namespace: str) -> None:
        """From now on the namespace's pods stay `Terminating`, as on a node that is gone."""
        with self._lock:
            self._held.add(namespace)

    def release_deletions(self, namespace: str) -> None:
        """Pods that were held end, and later ones at once."""
        with self._lock:
            self._held.discard(namespace)
            for pod in self._list(namespace):
                self._note("MODIFIED", pod)

    def head(self, namespace: str, cluster: str) -> Json | None:
        """The head pod of a RayCluster whose containers all run; None while there is none."""
        wanted = {"ray.io/cluster": cluster, "ray.io/node-type": "head"}
        rule = Rule(namespace, wanted, running)
        with self._lock:
            found = [pod for pod in self._pods.values() if rule.covers(pod) and _runs(pod)]
        return found[0] if found else None

    def _check(self) -> None:
        if self._error:
            raise AssertionError("the stand-in for the kubelet failed") from self._error

    def _follow(self) -> None:
        """Read the watch to the end of the test run; without a version it begins with all pods."""
        while not self._ending.is_set():
            try:
                for kind, pod in self._events():
                    with self._lock:
                        if self._ending.is_set():
                            return
                        self._note(kind, pod)
            except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                if isinstance(error, ApiException) and error.status == 422:
                    self._error = error
                    return
                # The API server is away, or was busy: tests do that to it.
                self._ending.wait(RECONNECT_AFTER_S)

    def _events(self) -> Iterator[tuple[str, Json]]:
        stream = self._core.list_pod_for_all_namespaces(
            watch=True, timeout_seconds=WATCH_S, _preload_content=False
        )
        with self._lock:
            self._pods.clear()
        for line in stream:
            event = json.loads(line)
            yield event["type"], event["object"]

    def _note(self, kind: str, pod: Json) -> None:
        uid = pod["metadata"].get("uid")
        if kind in {"ADDED", "MODIFIED"}:
            self._pods[uid] = pod
            self._sync(pod)
        elif kind == "DELETED":
            self._pods.pop(uid, None)
            self._written.pop(uid, None)

    def _sync(self, pod: Json) -> None:
        """Do to a pod what the newest rule about it says, once, and end it if it is deleted."""
        try:
            if pod["metadata"].get("deletionTimestamp"):
                self._end(pod)
                return
            rule = next((each for each in reversed(self._rules) if each.covers(pod)), None)
            uid = pod["metadata"]["uid"]
            if rule and self._written.get(uid) is not rule:
                self._write(pod, rule.happening)
                self._written[uid] = rule
        except ApiException as error:
            if error.status not in OVERTAKEN:
                raise

    def _write(self, pod: Json, happening: Happening) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if needs_node(happening) and not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            # The answer is a Status, which the client cannot read as the Binding it expects.
            self._core.create_namespaced_pod_binding(
                name,
                namespace,
                {"metadata": {"name": name}, "target": target},
                _preload_content=False,
            )
        self._core.patch_namespaced_pod_status(
            name,
            namespace,
            {
                "metadata": {"uid": pod["metadata"]["uid"]},
                "status": happening(pod, datetime.now(UTC)),
            },
            _content_type="application/merge-patch+json",
            _preload_content=False,
        )

    def _end(self, pod: Json) -> None:
        """Confirm a deletion, as the kubelet does when the containers are gone."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if namespace in self._held:
            return
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        self._core.delete_namespaced_pod(name, namespace, body=options, _preload_content=False)

    def _list(self, namespace: str) -> list[Json]:
        answer = self._core.list_namespaced_pod(namespace, _preload_content=False)
        pods: list[Json] = json.loads(answer.data)["items"]
        return pods

    def _read(self, namespace: str, name: str) -> Json:
        answer = self._core.read_namespaced_pod(name, namespace, _preload_content=False)
        pod: Json = json.loads(answer.data)
        return pod


def _runs(pod: Json) -> bool:
    """Whether all containers run, as the API last said; also while the pod is being deleted."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return bool(statuses) and all("running" in each["state"] for each in statuses)
