"""`@processing_stage`: a stage out of one function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from curator_executor.api.resources import Resources
from curator_executor.api.stage import ProcessingStage
from curator_executor.api.tasks import Task


class FunctionStage(ProcessingStage[Any, Any]):
    """A stage whose `process` is one function.

    Args:
        function: takes a task; returns a task, a list, an iterator or None.
        name: name of the stage; the function's own if None.
        resources: what one worker needs.
        batch_size: tasks a batch.
        num_workers: a fixed number of workers, or None.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        name: str | None = None,
        resources: Resources | None = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
    ) -> None:
        self._function = function
        self.name = name or str(getattr(function, "__name__", "function"))
        self.resources = resources or Resources(cpus=1.0)
        if batch_size is not None:
            self.batch_size = batch_size
        self._workers = num_workers

    def process(self, task: Any) -> Any:
        """Call the function; its outputs inherit the task's metadata."""
        result = self._function(task)
        if isinstance(result, Task):
            result._metadata = dict(task._metadata)
        elif isinstance(result, list):
            for output in result:
                if isinstance(output, Task):
                    output._metadata = dict(task._metadata)
        return result

    def num_workers(self) -> int | None:
        """The count given, if any."""
        return self._workers

    def is_fanout_stage(self) -> bool:
        """Whether the function's return annotation mentions a list."""
        hint = getattr(self._function, "__annotations__", {}).get("return")
        return "list" in str(hint)


def processing_stage(
    *,
    name: str | None = None,
    resources: Resources | dict[str, Any] | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> Callable[[Callable[[Any], Any]], FunctionStage]:
    """Turn a function of one task into a stage instance.

    Args:
        name: name of the stage; the function's own if None.
        resources: `Resources`, or its fields as a dict.
        batch_size: tasks a batch.
        num_workers: a fixed number of workers.

    Raises:
        TypeError: `resources` is something else, or the decorated object cannot be called.
        ValueError: the function does not take exactly one parameter.
    """
    if isinstance(resources, dict):
        resources = Resources(**resources)
    if resources is not None and not isinstance(resources, Resources):
        raise TypeError(f"resources must be Resources or a dict, got {type(resources).__name__}")
    needs = resources

    def decorate(function: Callable[[Any], Any]) -> FunctionStage:
        if not callable(function):
            raise TypeError(f"@processing_stage goes on a function, got {type(function).__name__}")
        parameters = len(inspect.signature(function).parameters)
        if parameters != 1:
            raise ValueError(
                f"a stage function takes one parameter, the task; "
                f"{getattr(function, '__name__', function)} takes {parameters}"
            )
        return FunctionStage(function, name, needs, batch_size, num_workers)

    return decorate
