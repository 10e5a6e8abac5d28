"""What a kubelet and the scheduler write into a pod's status, for each thing that can happen to it.

Used by `kubelet.py`. Pure: a pod as the API has it and the time now give its next status. Messages
and reasons are those that Kubernetes writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

Json = dict[str, Any]
# The next status of a pod, from the pod and the time now.
Happening = Callable[[Json, datetime], Json]

# Tests reach what runs "in" a pod on this machine.
POD_IP = "127.0.0.1"
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def running(pod: Json, now: datetime) -> Json:
    """Scheduled, initialised, every container started and ready."""
    init = [_ended(pod, each, now, "Completed", 0) for each in _spec(pod, "initContainers")]
    started = [_started(pod, each, now) for each in _spec(pod, "containers")]
    conditions = _conditions(now, scheduled=True, initialized=True, ready=True)
    return _status("Running", conditions, started, init, now)


def starting(pod: Json, now: datetime) -> Json:
    """Scheduled and pulling its images."""
    return _waiting(pod, now, "ContainerCreating", "")


def image_pull_error(pod: Json, now: datetime, *, reason: str = "ImagePullBackOff") -> Json:
    """Scheduled, and an image cannot be pulled."""
    image = _spec(pod, "containers")[0]["image"]
    return _waiting(pod, now, reason, f'Back-off pulling image "{image}"')


def unschedulable(pod: Json, now: datetime, *, message: str = NO_GPU) -> Json:
    """No node has room; as the scheduler says it."""
    refused = _condition("PodScheduled", "False", now, "Unschedulable", message)
    return {"phase": "Pending", "conditions": [refused]}


def crash_looping(pod: Json, now: datetime, *, exit_code: int = 1, reason: str = "Error") -> Json:
    """The first container ended once more and waits for its next start."""
    name = _spec(pod, "containers")[0]["name"]
    restarts = _restarts(pod, name) + 1
    last = _ended(pod, {"name": name, "image": ""}, now, reason, exit_code)["state"]
    message = f"back-off 5m0s restarting failed container={name} pod={pod['metadata']['name']}"
    statuses = [
        _container(pod, each, {"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        | {"restartCount": restarts, "lastState": last, "started": False}
        if each["name"] == name
        else _started(pod, each, now)
        for each in _spec(pod, "containers")
    ]
    init = [_ended(pod, each, now, "Completed", 0) for each in _spec(pod, "initContainers")]
    conditions = _conditions(now, scheduled=True, initialized=True, ready=False)
    return _status("Running", conditions, statuses, init, now)


def restarted(pod: Json, now: datetime, *, exit_code: int = 137, reason: str = "OOMKilled") -> Json:
    """The first container ended and runs anew in the same pod: with another container id."""
    name = _spec(pod, "containers")[0]["name"]
    last = _ended(pod, {"name": name, "image": ""}, now, reason, exit_code)["state"]
    status = running(pod, now)
    for each in status["containerStatuses"]:
        if each["name"] == name:
            each["restartCount"] = _restarts(pod, name) + 1
            each["containerID"] = _container_id(pod, name, each["restartCount"])
            each["lastState"] = last
    return status


def failed(pod: Json, now: datetime, *, exit_code: int = 1, reason: str = "Error") -> Json:
    """Every container ended and none is started again."""
    statuses = [
        _ended(pod, each, now, reason, exit_code) | {"ready": False, "started": False}
        for each in _spec(pod, "containers")
    ]
    init = [_ended(pod, each, now, "Completed", 0) for each in _spec(pod, "initContainers")]
    conditions = _conditions(now, scheduled=True, initialized=True, ready=False)
    return _status("Failed", conditions, statuses, init, now)


def evicted(
    pod: Json, now: datetime, *, message: str = "The node had condition: [DiskPressure]."
) -> Json:
    """The node put it out."""
    return failed(pod, now, exit_code=137) | {"reason": "Evicted", "message": message}


def with_options(happening: Callable[..., Json], **options: Any) -> Happening:
    """A happening with another message, reason or exit code than its usual one."""
    return partial(happening, **options)


def needs_node(happening: Happening) -> bool:
    """Whether the scheduler has found a node for a pod to which this happens."""
    return getattr(happening, "func", happening) is not unschedulable


def _spec(pod: Json, kind: str) -> list[Json]:
    found: list[Json] = pod["spec"].get(kind) or []
    return found


def _status(
    phase: str, conditions: list[Json], containers: list[Json], init: list[Json], now: datetime
) -> Json:
    return {
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": containers,
        "initContainerStatuses": init,
        "hostIP": POD_IP,
        "podIP": POD_IP,
        "podIPs": [{"ip": POD_IP}],
        "startTime": _stamp(now),
    }


def _waiting(pod: Json, now: datetime, reason: str, message: str) -> Json:
    statuses = [
        _container(pod, each, {"waiting": {"reason": reason, "message": message}})
        | {"started": False}
        for each in _spec(pod, "containers")
    ]
    conditions = _conditions(now, scheduled=True, initialized=True, ready=False)
    return _status("Pending", conditions, statuses, [], now)


def _started(pod: Json, container: Json, now: datetime) -> Json:
    restarts = _restarts(pod, container["name"])
    return _container(pod, container, {"running": {"startedAt": _stamp(now)}}) | {
        "containerID": _container_id(pod, container["name"], restarts),
        "ready": True,
        "started": True,
    }


def _ended(pod: Json, container: Json, now: datetime, reason: str, exit_code: int) -> Json:
    number = _container_id(pod, container["name"], _restarts(pod, container["name"]))
    state = {
        "exitCode": exit_code,
        "reason": reason,
        "startedAt": _stamp(now),
        "finishedAt": _stamp(now),
        "containerID": number,
    }
    return _container(pod, container, {"terminated": state}) | {
        "containerID": number,
        "ready": exit_code == 0,
    }


def _container(pod: Json, container: Json, state: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": _restarts(pod, container["name"]),
        "state": state,
    }


def _restarts(pod: Json, name: str) -> int:
    """How often a container was started again so far."""
    statuses: Iterable[Json] = pod.get("status", {}).get("containerStatuses") or []
    return next((int(each["restartCount"]) for each in statuses if each["name"] == name), 0)


def _container_id(pod: Json, name: str, restarts: int) -> str:
    known = f"{pod['metadata']['uid']}/{name}/{restarts}"
    return f"containerd://{hashlib.sha256(known.encode()).hexdigest()}"


def _conditions(now: datetime, *, scheduled: bool, initialized: bool, ready: bool) -> list[Json]:
    said = {
        "PodScheduled": scheduled,
        "Initialized": initialized,
        "ContainersReady": ready,
        "Ready": ready,
    }
    return [
        _condition(kind, str(is_so), now)
        if is_so
        else _condition(kind, "False", now, "ContainersNotReady", "containers are not ready")
        for kind, is_so in said.items()
    ]


def _condition(kind: str, status: str, now: datetime, reason: str = "", message: str = "") -> Json:
    told = {"reason": reason, "message": message} if reason else {}
    return {"type": kind, "status": status, "lastTransitionTime": _stamp(now), **told}


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
