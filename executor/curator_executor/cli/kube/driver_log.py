"""`curator logs`: what the driver of a pipeline says.

The head pod has a container that prints the driver's log, so that it is where Kubernetes keeps
logs: this command, `kubectl logs` and whatever collects logs in the cluster read the same.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from curator_api.last_word import MARK
from curator_api.received import parse_status
from curator_api.v1alpha1.status import ENDED, PipelineStatus
from curator_executor.cli.kube.api import (
    PIPELINES,
    PODS,
    Api,
    ApiRefused,
    ApiUnreachable,
    Object,
    path_of,
)
from curator_executor.cli.kube.following import Gone, OneObject, Seen, follow
from curator_executor.cli.kube.naming import no_such_pipeline
from curator_executor.cli.kube.pipeline_view import notes_of
from curator_executor.cli.outcome import FAILED, OK, CommandError

# What the operator gives the head pod; see `curator_operator.desired`.
CONTAINER = "driver-log"
_PIPELINE = "curator.dev/pipeline"
_ATTEMPT = "curator.dev/attempt"
_HEADS = "ray.io/node-type=head"
_LAST_WORD = MARK.encode()
_RAYS_LOGS = "/tmp/ray/session_latest/logs"  # noqa: S108 - where Ray keeps them in a pod
# A driver may say nothing for long; a connection that is lost is noticed by the kernel.
_SILENT_S = 24 * 3600.0


def print_log(options: Namespace, api: Api) -> int:
    """Print the log; 0.

    Raises:
        CommandError: there is no such pipeline or no log; the message says why and where it is.
        ApiError: the API server did not tell.
    """
    namespace = options.namespace or api.place.namespace
    try:
        obj = api.get(PIPELINES, namespace, options.name)
    except ApiRefused as error:
        if error.code != 404 or not error.reason:
            raise
        raise no_such_pipeline(api, namespace, options.name) from error
    status = parse_status(obj.get("status"))
    attempt = options.attempt or status.attempt
    if obj["spec"].get("cluster", {}).get("existing"):
        raise CommandError(in_existing_cluster(api, namespace, status))
    pod = _head_pod(api, namespace, options.name, attempt)
    if pod is None:
        raise CommandError(no_log(obj, status, attempt), FAILED)
    name = str(pod["metadata"]["name"])
    if not runs(pod):
        if not options.follow:
            raise CommandError(
                f"head pod {name} has not started yet: "
                f"{'; '.join(notes_of(status)) or 'it is on its way'}. --follow waits for it",
                FAILED,
            )
        _wait_for(api, namespace, name)
    try:
        _copy(_lines(api, namespace, name, options))
    except ApiUnreachable as error:
        raise CommandError(
            f"the log of head pod {name} broke off: {error}. The same command with --tail 20 goes "
            "on from there",
            FAILED,
        ) from error
    return OK


def no_log(obj: Object, status: PipelineStatus, attempt: int | None) -> str:
    """Why there is no pod with a log, and where the log is. Pure.

    Args:
        obj: the pipeline.
        status: its status.
        attempt: whose log is wanted; None before the first.
    """
    name = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
    if attempt is None:
        waits = "; ".join(notes_of(status))
        return f"{name} has not started: {waits}"
    ended = status.phase in ENDED or status.phase == "Suspended" or attempt != status.attempt
    if not ended:
        waits = "; ".join(notes_of(status))
        return f"attempt {attempt} of {name} has no head pod: {waits or status.phase}"
    gone = f"the cluster of attempt {attempt} of {name} is gone, and its log with it"
    artifacts = (obj["spec"].get("artifacts") or {}).get("uri")
    if not artifacts:
        return (
            f"{gone}. What collects logs in your cluster may have it; spec.artifacts.uri keeps it "
            "the next time, spec.cluster.keepAfterFinish the whole cluster"
        )
    submission = f"{obj['metadata']['uid'][:8]}-{attempt}"
    return f"{gone}, but for {str(artifacts).rstrip('/')}/{submission}/driver.log"


def in_existing_cluster(api: Api, namespace: str, status: PipelineStatus) -> str:
    """Where the log is in a cluster that is not the pipeline's own."""
    if status.submission_id is None or status.ray_cluster is None:
        return f"the driver has not started: {'; '.join(notes_of(status))}"
    selector = f"{_HEADS},ray.io/cluster={status.ray_cluster}"
    pods = api.list_all(PODS, namespace, labelSelector=selector)["items"]
    pod = pods[0]["metadata"]["name"] if pods else "HEAD_POD"
    return (
        f"the driver runs in RayCluster {status.ray_cluster}, which is not the pipeline's own and "
        f"has no container for its log. It is in the head pod: kubectl exec -n {namespace} {pod} "
        f"-- cat {_RAYS_LOGS}/job-driver-{status.submission_id}.log"
    )


def runs(pod: Mapping[str, Any]) -> bool:
    """Whether the container with the log has begun to run, ever. Pure."""
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one["name"] == CONTAINER:
            state = one.get("state") or {}
            return "running" in state or "terminated" in state or bool(one.get("restartCount"))
    return False


def has_log(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has a container with the log. Pure."""
    return any(one["name"] == CONTAINER for one in pod["spec"]["containers"])


def _head_pod(api: Api, namespace: str, name: str, attempt: int | None) -> Object | None:
    """The head pod of an attempt; None if there is none."""
    if attempt is None:
        return None
    selector = f"{_PIPELINE}={name},{_ATTEMPT}={attempt},{_HEADS}"
    pods = api.list_all(PODS, namespace, labelSelector=selector)["items"]
    # Of several that there never should be, the newest.
    pods.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    if not pods:
        return None
    pod: Object = pods[-1]
    if not has_log(pod):
        head = pod["metadata"]["name"]
        raise CommandError(
            f"head pod {head} was made by an operator that gives it no container {CONTAINER}: "
            f"kubectl exec -n {namespace} {head} -- sh -c 'cat {_RAYS_LOGS}/job-driver-*.log'"
        )
    return pod


def _wait_for(api: Api, namespace: str, name: str) -> None:
    print(f"waiting for head pod {name}", file=sys.stderr)
    for change in follow(OneObject(api, PODS, namespace, name), time.sleep):
        if isinstance(change, Seen) and runs(change.obj):
            return
        if isinstance(change, Gone):
            break
    raise CommandError(f"head pod {name} was deleted before it started", FAILED)


def _lines(api: Api, namespace: str, pod: str, options: Namespace) -> Iterator[bytes]:
    query = {"container": CONTAINER}
    if options.follow:
        query["follow"] = "true"
    if options.tail is not None:
        query["tailLines"] = str(options.tail)
    return api.lines(path_of(PODS, namespace, pod, "log"), query, _SILENT_S)


def _copy(lines: Iterator[bytes]) -> None:
    """Print the lines, without the one that is for the operator alone."""
    for line in lines:
        if line.startswith(_LAST_WORD):
            continue
        sys.stdout.write(line.decode("utf-8", "replace") + "\n")
        sys.stdout.flush()
