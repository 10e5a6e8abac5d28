"""What workers import from and run in. Made by the command line, read by the Ray backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from curator_executor.core.sizing import usable_cpus
from curator_executor.core.types import Node, NodeGroup


@dataclass(frozen=True)
class WorkerEnvironment:
    """The environment of all workers of a run.

    Attributes:
        python_paths: directories that workers import from, besides those of this process.
        runtime_env: Ray runtime environment; a stage's own is laid over it.
        worker_groups: nodes that the cluster's autoscaler may bring, by group; all of a node's
            cores.
    """

    python_paths: tuple[str, ...] = ()
    runtime_env: dict[str, Any] | None = None
    worker_groups: tuple[NodeGroup, ...] = ()

    def node_groups(self, nodes: Sequence[Node], cpu_share: float) -> tuple[NodeGroup, ...]:
        """The groups that the cluster can grow by, with what stages may use of each node.

        None where no node says which group it is of: that is not the cluster that the manifest
        describes, but a single machine, say.
        """
        if not any(node.group for node in nodes):
            return ()
        return tuple(
            replace(group, node=replace(group.node, cpus=usable_cpus(group.node.cpus, cpu_share)))
            for group in self.worker_groups
        )

    def with_stage(self, own: dict[str, Any] | None) -> dict[str, Any] | None:
        """The runtime environment of a stage's workers; `env_vars` of both are merged."""
        base = self.runtime_env
        if not base or not own:
            return own or base
        variables = {**base.get("env_vars", {}), **own.get("env_vars", {})}
        return {**base, **own, **({"env_vars": variables} if variables else {})}
