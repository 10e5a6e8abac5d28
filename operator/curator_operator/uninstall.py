"""`python -m curator_operator.uninstall`: makes the operator's end leave nothing that is stuck.

Run by the chart before a release goes. The operator is stopped first, because it would add its
finalizer again; then the finalizer is taken from every pipeline, so that they can be deleted though
nobody is there who would do it. Ray clusters and jobs are left as they are. Exit codes: 0 done,
1 the API server refused or did not answer, or the operator did not end in time, 2 it is called
wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kubernetes.aio.config import ConfigException

from curator_operator.cluster.client import PIPELINES, PODS, ApiError, ApiRefused, KubeApi
from curator_operator.desired.labels import FINALIZER
from curator_operator.metrics import Metrics

DEPLOYMENTS = ("apps/v1", "deployments")
_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 1.0
# Who edits a pipeline at the same moment costs one of them.
_ATTEMPTS = 5


class StillRunning(Exception):
    """The operator did not end in time."""


@dataclass(frozen=True)
class Installed:
    """What of the operator is to go.

    Attributes:
        deployment: its Deployment's name.
        namespace: where that is.
        pods: label selector of its pods.
        namespaces: those that it watched; empty: all.
    """

    deployment: str
    namespace: str
    pods: str
    namespaces: tuple[str, ...] = ()


async def stop_operator(api: KubeApi, installed: Installed, wait_s: float) -> None:
    """Scale the operator to nothing and wait until its pods are gone.

    Raises:
        StillRunning: they are not within `wait_s` seconds.
        ApiError: the API server refused or did not answer.
    """
    patch = [{"op": "add", "path": "/spec/replicas", "value": 0}]
    try:
        await api.json_patch(
            DEPLOYMENTS, installed.namespace, installed.deployment, patch, sub="scale"
        )
    except ApiRefused as refused:
        if not refused.not_found:
            raise
    deadline = time.monotonic() + wait_s
    while left := [
        str(pod["metadata"]["name"])
        async for page in api.list_pages(PODS, installed.namespace, installed.pods)
        for pod in page["items"]
    ]:
        if time.monotonic() >= deadline:
            raise StillRunning(
                f"pods {', '.join(left)} in namespace {installed.namespace} are still there after "
                f"{wait_s:g} s; delete them, then try again"
            )
        await asyncio.sleep(_LOOK_EVERY_S)


async def release_pipelines(api: KubeApi, namespaces: Sequence[str]) -> int:
    """Take our finalizer, and no other, from every pipeline.

    Args:
        api: the API server.
        namespaces: where; empty: everywhere.

    Returns:
        How many had it.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    released: set[tuple[str, str]] = set()
    for attempt in range(1, _ATTEMPTS + 1):
        conflict: ApiRefused | None = None
        for namespace, name, version, finalizers in await _held(api, namespaces):
            try:
                await api.merge_patch(
                    PIPELINES,
                    namespace,
                    name,
                    {"metadata": {"resourceVersion": version, "finalizers": finalizers}},
                )
            except ApiRefused as refused:
                if refused.conflict:
                    conflict = refused
                elif not refused.not_found:
                    raise
                continue
            released.add((namespace, name))
        if conflict is None:
            break
        if attempt == _ATTEMPTS:
            raise conflict
    return len(released)


async def _held(api: KubeApi, namespaces: Sequence[str]) -> list[tuple[str, str, str, list[str]]]:
    """Namespace, name and version of each pipeline with our finalizer, and its other finalizers."""
    found = []
    for place in namespaces or (None,):
        try:
            async for page in api.list_pages(PIPELINES, place):
                for each in page["items"]:
                    meta = each["metadata"]
                    finalizers = meta.get("finalizers") or []
                    if FINALIZER in finalizers:
                        others = [one for one in finalizers if one != FINALIZER]
                        found.append(
                            (meta["namespace"], meta["name"], meta["resourceVersion"], others)
                        )
        except ApiRefused as refused:
            # The kind itself is not there: then there is no pipeline either.
            if not refused.not_found:
                raise
    return found


async def uninstall(installed: Installed, wait_s: float) -> int:
    """Stop the operator and release its pipelines; returns how many."""
    api = await KubeApi.connect(Metrics(), _TIMEOUT_S)
    try:
        await stop_operator(api, installed, wait_s)
        return await release_pipelines(api, installed.namespaces)
    finally:
        await api.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it and say so; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="curator_operator.uninstall",
        description="Stop the operator and take its finalizer from all pipelines.",
    )
    parser.add_argument("--deployment", required=True, help="name of the operator's Deployment")
    parser.add_argument("--own-namespace", required=True, help="where it is")
    parser.add_argument("--pods", required=True, help="label selector of its pods")
    parser.add_argument("--namespaces", default="", help="that it watched, comma-separated; or all")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds for its pods to end")
    given = parser.parse_args(arguments)
    installed = Installed(
        given.deployment,
        given.own_namespace,
        given.pods,
        tuple(part for part in given.namespaces.split(",") if part),
    )
    try:
        released = asyncio.run(uninstall(installed, given.wait))
    except (ApiError, StillRunning, ConfigException) as error:
        sys.stderr.write(f"uninstall: {error}\n")
        return 1
    sys.stdout.write(f"operator stopped, {released} pipelines released\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
