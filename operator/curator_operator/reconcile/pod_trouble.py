"""What is wrong with a pod, from its own conditions and containers.

Called by `waiting`. Reasons of containers are the kubelet's (`pkg/kubelet/images` and `container`
in Kubernetes), `Unschedulable` and `SchedulingGated` are the scheduler's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from curator_operator.reconcile.observed import ContainerSeen, PodSeen
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.text import clean

_LONGEST = 500
_IMAGE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_START = frozenset(
    {
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
    }
)


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from running.

    Attributes:
        message: in the words of Kubernetes.
        todo: what to do about it; "" if the message says it.
        since: when it began, if Kubernetes says so.
    """

    reason: Reason
    message: str
    todo: str = ""
    since: float | None = None


def trouble_of(pod: PodSeen) -> Trouble | None:
    """What is wrong with the pod; None if it runs or is on its way."""
    if pod.ready:
        return None
    if pod.phase == "Failed":
        return _failed(pod)
    unplaced = _unplaced(pod)
    if unplaced is not None:
        return unplaced
    for one in pod.containers:
        found = _of_container(pod, one)
        if found is not None:
            return replace(found, since=placed_at(pod))
    return None


def placed_at(pod: PodSeen) -> float | None:
    """When the pod got a node; None before."""
    placed = (one for one in pod.conditions if one.type == "PodScheduled" and one.status == "True")
    return next((one.since for one in placed), None)


def _failed(pod: PodSeen) -> Trouble:
    if pod.reason == "Evicted":
        return Trouble(Reason.EVICTED, f"evicted: {clean(pod.message, _LONGEST)}")
    if any(one.terminated == "OOMKilled" for one in pod.containers):
        return _out_of_memory(pod)
    said = pod.message or next(
        (
            f"container {one.name} ended with {one.exit_code} {one.terminated_message}"
            for one in pod.containers
            if one.exit_code
        ),
        "",
    )
    words = ": ".join(word for word in (pod.reason, said.strip()) if word)
    return Trouble(Reason.CONTAINER_FAILED, clean(words, _LONGEST) or "the pod failed")


def _unplaced(pod: PodSeen) -> Trouble | None:
    for one in pod.conditions:
        if one.type != "PodScheduled" or one.status != "False":
            continue
        said = clean(one.message or one.reason, _LONGEST)
        if one.reason == "SchedulingGated":
            return Trouble(
                Reason.UNSCHEDULABLE, f"held by a scheduling gate: {said}", since=one.since
            )
        if "persistentvolumeclaim" in one.message and "not found" in one.message:
            return Trouble(Reason.CONFIG_MISSING, said, "make the PersistentVolumeClaim", one.since)
        return Trouble(
            Reason.UNSCHEDULABLE,
            f"no node takes it: {said}",
            "add nodes, or change resources, nodeSelector or tolerations",
            one.since,
        )
    return None


def _of_container(pod: PodSeen, one: ContainerSeen) -> Trouble | None:
    said = clean(one.waiting_message, _LONGEST)
    where = f"container {one.name}"
    if one.waiting in _IMAGE:
        return Trouble(
            Reason.IMAGE_PULL_FAILED,
            f"{where}: {said or one.waiting}",
            "see spec.image and spec.cluster.imagePullSecrets",
        )
    if one.waiting == "CreateContainerConfigError":
        return Trouble(
            Reason.CONFIG_MISSING, f"{where}: {said}", "make the Secret or ConfigMap it names"
        )
    if one.waiting in _START:
        return Trouble(Reason.CONTAINER_FAILED, f"{where}: {one.waiting}: {said}")
    if one.terminated == "OOMKilled":
        return _out_of_memory(pod)
    if one.waiting == "CrashLoopBackOff" or one.restarts >= 3:
        detail = clean(one.terminated_message or said, _LONGEST)
        code = "" if one.exit_code is None else f", the last time with exit code {one.exit_code}"
        return Trouble(
            Reason.HEAD_CRASHING if pod.is_head else Reason.CONTAINER_FAILED,
            f"{where} ended {one.restarts} times{code}{': ' if detail else ''}{detail}",
            f"see kubectl logs {pod.name} -c {one.name} --previous",
        )
    return None


def _out_of_memory(pod: PodSeen) -> Trouble:
    field = (
        "spec.cluster.head.resources.memory"
        if pod.is_head
        else f"resources.memory of worker group {pod.group}"
    )
    return Trouble(Reason.OUT_OF_MEMORY, "killed for want of memory (OOMKilled)", f"raise {field}")
