"""Stages, builders and mistakes that the manifests of `test_compile` name."""

from __future__ import annotations

import threading
from typing import Any

from curator_executor.api import (
    CompositeStage,
    DocumentBatch,
    Pipeline,
    ProcessingStage,
    Resources,
    Task,
    processing_stage,
)

Batch = DocumentBatch


class Keep(ProcessingStage[Batch, Batch]):
    """Takes nothing."""

    name = "keep"
    resources = Resources(cpus=2.0, gpus=1.0)
    batch_size = 4

    def process(self, task: Batch) -> Batch:
        return task


class Read(ProcessingStage[Any, Batch]):
    """Takes arguments."""

    name = "reader"

    def __init__(self, paths: list[str], files_per_task: int = 1, token: Any = None) -> None:
        if files_per_task < 1:
            raise ValueError(f"files_per_task must be at least 1, got {files_per_task}")
        if token == "wrong-secret":
            raise PermissionError(f"nobody has the token {token}")
        self.paths, self.files_per_task, self.token = paths, files_per_task, token

    def process(self, task: Any) -> Batch:
        return DocumentBatch(dataset_name="", data=task.data)

    def num_workers(self) -> int | None:
        return 1


class Unfinished(ProcessingStage[Batch, Batch]):
    """Lacks `process`."""


class Locked(Keep):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Everything(Keep):
    """Sees every task before it emits."""

    is_global_stage = True


class Picky(Keep):
    """Says what is wrong."""

    def __init__(self, faults: Any = None) -> None:
        self.faults = faults

    def check(self) -> Any:
        if isinstance(self.faults, dict):
            raise FileNotFoundError("no model at /models/en.bin")
        return self.faults


class Part(Keep):
    """A part with its own name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Several(CompositeStage[Any, Any]):
    """Parts by the names given."""

    name = "several"

    def __init__(self, parts: list[str]) -> None:
        super().__init__()
        self.parts = parts

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [Part(name) for name in self.parts]


class Nested(CompositeStage[Any, Any]):
    """A part that has parts."""

    name = "nested"

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [Several(["a", "b"])]


@processing_stage(name="shout", batch_size=3)
def shout(task: Task[Any]) -> Task[Any]:
    return task


def plain(task: Task[Any]) -> Task[Any]:
    return task


class NoStage:
    """Not a stage."""


NUMBER = 5
SHARED = [Keep().with_(name="one"), Keep().with_(name="two")]


def build(copies: int = 1, prefix: str = "keep") -> Pipeline:
    pipeline = Pipeline("built")
    for number in range(copies):
        pipeline.add_stage(Keep().with_(name=f"{prefix}{number}"))
    return pipeline


def build_list() -> list[Any]:
    return SHARED


def build_composite() -> list[Any]:
    return [Several(["files", "rows"]), Keep()]


def build_twice() -> list[Any]:
    return [Keep(), Keep()]


def build_number() -> int:
    return NUMBER


def build_mixed() -> list[Any]:
    return [Keep(), "a"]
