"""`XennaExecutor`: the entry point that NeMo Curator's users know."""

from __future__ import annotations

from typing import Any

from curator_executor.api.pipeline import Stage
from curator_executor.api.tasks import Task
from curator_executor.runtime.settings import RunSettings


class XennaExecutor:
    """Runs a list of stages on Ray.

    Args:
        config: the options of `RunSettings.from_config`; unknown ones are refused.
        ignore_head_node: not supported; the head is left out by giving it no CPUs.

    Raises:
        ValueError: `ignore_head_node` is true, or an option is unknown or has a bad value.
    """

    def __init__(
        self, config: dict[str, Any] | None = None, ignore_head_node: bool = False
    ) -> None:
        if ignore_head_node:
            raise ValueError(
                "ignore_head_node=True is not supported; start the Ray head with num_cpus=0 to "
                "keep workers off it"
            )
        self.config = dict(config or {})
        self.settings = RunSettings.from_config(self.config)
        self.ignore_head_node = False

    def execute(
        self, stages: list[Stage], initial_tasks: list[Task[Any]] | None = None
    ) -> list[Task[Any]]:
        """Run the stages and return the last one's tasks.

        Connects to a running Ray cluster (`RAY_ADDRESS`) or starts one in this process.

        Args:
            stages: the stages, in order; composite ones are expanded.
            initial_tasks: inputs of the first stage; one `EmptyTask` if None or empty.

        Returns:
            Tasks of the last stage: in input order in batch mode, in no order in streaming mode.

        Raises:
            ValueError: the stages cannot run here; said before any worker starts.
            StageFailed: a task failed and `ignore_failures` is off; its cause is the stage's own
                exception.
        """
        try:
            from curator_executor.runtime.run import run_stages
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"running a pipeline needs the package {error.name}, which the extra `executor` "
                "installs: pip install 'curator-operator[executor]'",
                name=error.name,
            ) from error

        return run_stages(stages, initial_tasks, self.settings).tasks
