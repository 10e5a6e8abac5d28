"""Tasks and stages that the integration tests are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from curator_executor import ProcessingStage, Resources, Task
from curator_executor.runtime.run import RunOutcome, run_stages
from curator_executor.runtime.settings import RunSettings

TWO_CPUS = 0.25  # of the eight that the tests' Ray has
FOUR_CPUS = 0.5


class BrokenError(ValueError):
    """What failing stages raise."""


@dataclass
class Number(Task[Any]):
    """A task that holds a number (or what a test needs)."""

    data: Any = 0
    items: int = 1

    @property
    def num_items(self) -> int:
        return self.items

    def validate(self) -> bool:
        return True


def number(value: Any, items: int = 1) -> Number:
    return Number("numbers", data=value, items=items)


def numbers(count: int) -> list[Task[Any]]:
    return [number(value) for value in range(count)]


def values(tasks: Iterable[Task[Any]]) -> list[Any]:
    """What tasks hold, in their order."""
    return [task.data for task in tasks]


class Apply(ProcessingStage[Any, Any]):
    """A stage out of functions.

    Args:
        function: `process`.
        name: of the stage.
        options: attributes (`batch_size`, `is_pure`, …), `workers` for a pinned number of
            workers, `spec` for `xenna_stage_spec`, and `setup`, `setup_on_node`, `teardown`,
            `finish` as functions of the stage.
    """

    def __init__(self, function: Callable[[Any], Any], name: str = "apply", **options: Any) -> None:
        self.name = name
        self.function = function
        self.resources = Resources(cpus=1.0)
        self.workers: int | None = options.pop("workers", None)
        self.spec: dict[str, Any] = options.pop("spec", {})
        hooks = ("setup", "setup_on_node", "teardown", "finish")
        self.hooks = {hook: options.pop(hook) for hook in hooks if hook in options}
        for attribute, value in options.items():
            assert hasattr(type(self), attribute), attribute
            setattr(self, attribute, value)

    def process(self, task: Any) -> Any:
        return self.function(task)

    def setup(self, worker_metadata: Any = None) -> None:
        self._hook("setup")

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        self._hook("setup_on_node")

    def teardown(self) -> None:
        self._hook("teardown")

    def finish(self) -> Iterable[Any]:
        return self.hooks["finish"](self) if "finish" in self.hooks else ()

    def num_workers(self) -> int | None:
        return self.workers

    def xenna_stage_spec(self) -> dict[str, Any]:
        return self.spec

    def _hook(self, name: str) -> None:
        if name in self.hooks:
            self.hooks[name](self)


class ApplyBatch(Apply):
    """The same with `process_batch`: the function takes the list."""

    def process_batch(self, tasks: list[Any]) -> Any:
        return self.function(tasks)


def passed_on(task: Any) -> Any:
    return task


def run(stages: list[Any], tasks: list[Any] | None = None, **options: Any) -> RunOutcome:
    """A run on two cores unless said otherwise; tasks and report."""
    sinks = options.pop("sinks", ())
    options.setdefault("cpu_allocation_percentage", TWO_CPUS)
    return run_stages(stages, tasks, RunSettings.from_config(options), sinks)
