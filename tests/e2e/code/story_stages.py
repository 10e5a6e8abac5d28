"""Stages of the end-to-end stories: numbers that are worked on, and say where.

They reach the pods in a ConfigMap, as the code of somebody who builds no image of their own.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_executor import EmptyTask, ProcessingStage, Task


@dataclass
class Number(Task[dict[str, Any]]):
    """A number, and what stages had to say of it."""

    @property
    def num_items(self) -> int:
        """One number."""
        return 1

    def validate(self) -> bool:
        """Whether there is a number."""
        return "number" in self.data


class Shards(ProcessingStage[EmptyTask, Number]):
    """The inputs: one task for each shard."""

    name = "shards"

    def __init__(self, count: int) -> None:
        self.count = count

    def process(self, task: EmptyTask) -> list[Number]:
        """All shards at once: the total is known from the start."""
        return [
            Number(dataset_name="story", data={"shard": i, "number": i}) for i in range(self.count)
        ]


class Split(ProcessingStage[Number, Number]):
    """Numbers of a shard, one after the other."""

    name = "split"

    def __init__(self, each: int) -> None:
        self.each = each

    def process(self, task: Number) -> Iterator[Number]:
        """Yield them."""
        for i in range(self.each):
            data = {**task.data, "number": task.data["shard"] * self.each + i}
            yield Number(dataset_name="story", data=data)


class Work(ProcessingStage[Number, Number]):
    """Takes a while, and notes which worker did it, on which node and with which devices."""

    name = "work"

    def __init__(self, seconds: float, note: str = "worked", until: str = "") -> None:
        self.seconds = seconds
        self.note = note
        self.until = until

    def process(self, task: Number) -> Number:
        """Wait, also for a file if one is named, and note."""
        import ray

        time.sleep(self.seconds)
        while self.until and not Path(self.until).exists():
            time.sleep(0.1)
        here = {
            "pod": socket.gethostname(),
            "pid": os.getpid(),
            "gpus": ray.get_gpu_ids(),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "labels": ray.get_runtime_context().get_node_labels(),
        }
        return Number(dataset_name="story", data={**task.data, self.note: here})


class FailsAt(ProcessingStage[Number, Number]):
    """Raises at one number."""

    name = "fails-at"

    def __init__(self, number: int) -> None:
        self.number = number

    def process(self, task: Number) -> Number:
        """Pass on, or raise."""
        if task.data["number"] == self.number:
            raise ValueError(f"cannot embed number {self.number}")
        return task


class Save(ProcessingStage[Number, Number]):
    """One file for each number, whole or not at all."""

    name = "save"

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def setup(self, worker_metadata: Any = None) -> None:
        """Have the folder."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)

    def process(self, task: Number) -> Number:
        """Write it under another name first."""
        path = Path(self.folder) / f"{task.data['number']:06d}.json"
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps(task.data))
        half.replace(path)
        print(f"story: saved number {path.stem}")
        return task
