"""Connect to a Ray cluster, or start one in this process; read its nodes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray

from curator_executor.core.errors import RayUnavailable
from curator_executor.core.sizing import usable_cpus
from curator_executor.core.types import Node

log = logging.getLogger("curator_executor.ray")

# Which worker group a node belongs to. The first is set by whoever makes the cluster, also in what
# the autoscaler is told of nodes that are not there yet; the second Ray sets on KubeRay's pods by
# itself, but only once they are there, so a cluster that others made needs no change.
GROUP_LABELS = ("curator.dev/worker-group", "ray.io/node-group")
# Ray gives its own start 30 s, which cannot be changed; a machine that also builds needs more.
STARTS = 3


@contextmanager
def connected() -> Iterator[None]:
    """A connection to Ray for the time of a run.

    Uses the one that this process has; else the cluster in `RAY_ADDRESS`; else starts Ray here
    and stops it again.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": True}
    if not os.environ.get("RAY_ADDRESS"):
        options["include_dashboard"] = False
    # Without these, Ray prints advice at every start that users here can do nothing about.
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    _init(options)
    try:
        yield
    finally:
        ray.shutdown()


def _init(options: dict[str, Any]) -> None:
    address = os.environ.get("RAY_ADDRESS")
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(**options)
            return
        except Exception as error:
            ray.shutdown()
            if attempt < STARTS and not address:
                log.warning("starting Ray again: %s", error)
                continue
            what = (
                f"cannot connect to Ray at RAY_ADDRESS={address}; is it running, and of version "
                f"{ray.__version__}?"
                if address
                else "cannot start Ray here; the machine may be busy, or out of memory or disk"
            )
            raise RayUnavailable(f"{what} ({' '.join(str(error).split())[:500]})") from error


def read_nodes(share: float) -> tuple[Node, ...]:
    """Nodes that are alive, with what stages may use of each."""
    found = []
    for node in ray.nodes():
        if not node.get("Alive"):
            continue
        resources = node.get("Resources", {})
        found.append(
            Node(
                id=node["NodeID"],
                cpus=usable_cpus(resources.get("CPU", 0.0), share),
                gpus=resources.get("GPU", 0.0),
                memory=int(resources.get("memory", 0)),
                store_bytes=int(resources.get("object_store_memory", 0)),
                group=_group_of(node.get("Labels") or {}),
            )
        )
    return tuple(sorted(found, key=lambda node: node.id))


def _group_of(labels: Mapping[str, str]) -> str:
    return next((labels[key] for key in GROUP_LABELS if labels.get(key)), "")
