"""`CompositeStage`: several stages under one name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, TypeVar

from curator_executor.api.stage import ProcessingStage, StageInputSpec
from curator_executor.api.tasks import Task

X = TypeVar("X", bound=Task[Any])
Y = TypeVar("Y", bound=Task[Any])


class CompositeStage(ProcessingStage[X, Y], ABC):
    """Several stages under one name; it is replaced by them before anything runs."""

    def __init__(self) -> None:
        self._with_operations: list[dict[str, Any]] = []

    def process(self, task: X) -> Y | list[Y] | Iterable[Y] | None:
        """Never called.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"composite stage {self.name} is replaced by its parts and never runs")

    @abstractmethod
    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        """The stages that run in its place."""

    def inputs(self) -> Any:
        """What the first part asks for."""
        return self.decompose()[0].inputs()

    def outputs(self) -> StageInputSpec:
        """What the last part adds."""
        return self.decompose()[-1].outputs()

    def with_(self, stage_with_dict: dict[str, dict[str, Any]]) -> Any:  # type: ignore[override]
        """Note changes by the name of a part; applied, in order, when it is decomposed."""
        self.__dict__.setdefault("_with_operations", []).append(stage_with_dict)
        return self

    def decompose_and_apply_with(self) -> list[ProcessingStage[Any, Any]]:
        """The parts with the noted changes applied.

        Raises:
            ValueError: two parts share a name, or a change names no part.
        """
        stages = self.decompose()
        for changes in self.__dict__.get("_with_operations", []):
            names = [stage.name for stage in stages]
            if len(set(names)) != len(names):
                raise ValueError(
                    f"composite stage {self.name}: parts share a name, so with_() is ambiguous: "
                    f"{names}"
                )
            unknown = sorted(set(changes) - set(names))
            if unknown:
                raise ValueError(
                    f"composite stage {self.name} has no part {unknown}; its parts: {names}"
                )
            stages = [
                stage.with_(**changes[stage.name]) if stage.name in changes else stage
                for stage in stages
            ]
        return stages
