"""What workers import from and run in. Made by the command line, read by the Ray backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerEnvironment:
    """The environment of all workers of a run.

    Attributes:
        python_paths: directories that workers import from, besides those of this process.
        runtime_env: Ray runtime environment; a stage's own is laid over it.
    """

    python_paths: tuple[str, ...] = ()
    runtime_env: dict[str, Any] | None = None

    def with_stage(self, own: dict[str, Any] | None) -> dict[str, Any] | None:
        """The runtime environment of a stage's workers; `env_vars` of both are merged."""
        base = self.runtime_env
        if not base or not own:
            return own or base
        variables = {**base.get("env_vars", {}), **own.get("env_vars", {})}
        return {**base, **own, **({"env_vars": variables} if variables else {})}
