"""The work that every contestant does, and how its outputs are judged.

Read by `contender` (our executor), `baselines` (the others) and `child` (which times them). A
workload is made from plain values, so that each contestant gets the same ones in its own form.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curator_executor import EmptyTask, ProcessingStage, Task
from tests.benchmarks.constants import BATCH, FAN_OUT, SLEEPS_S

Stage = ProcessingStage[Any, Any]

ARRAY_ITEMS = 625_000  # float64: 5 MB
CHUNK_ITEMS = 1_000_000  # float64: 8 MB
SOURCES = 1_000
KEPT_ONE_IN = 1_000
# 400 MB/s, well below the 1 GB/s and more at which one producer fills arrays: the store would
# overflow if nobody held the producer back.
SLOW_SINK_S = 0.02


@dataclass
class Number(Task[int]):
    """A small task; `data` is an int."""

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


@dataclass
class Array(Task[Any]):
    """A task with a NumPy array, or with what is left of one."""

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


class PinnedStage(Stage):
    """A stage with one worker, as every contestant has one."""

    def __init__(self, name: str, batch_size: int = 1) -> None:
        self.name = name
        self.batch_size = batch_size

    def num_workers(self) -> int:
        return 1


class NoOp(PinnedStage):
    def process(self, task: Number) -> Number:
        return task


class NoOpBatch(NoOp):
    def process_batch(self, tasks: list[Number]) -> list[Number]:
        return tasks


class SumArray(PinnedStage):
    """Adds the array's sum to the metadata; the last one gives out the sums alone."""

    def __init__(self, name: str, last: bool = False) -> None:
        super().__init__(name)
        self.last = last

    def process(self, task: Array) -> Array:
        sums = [*task._metadata.get("sums", ()), float(task.data.sum())]
        if self.last:
            return Array(dataset_name=task.dataset_name, data=sums)
        task._metadata["sums"] = sums
        return task


class Sleep(Stage):
    """A stage with as many workers as it is given, whose work is to wait."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds

    def process(self, task: Number) -> Number:
        time.sleep(self.seconds)
        return task


class FanOut(PinnedStage):
    def process(self, task: Number) -> list[Number]:
        first = task.data * FAN_OUT
        return [Number(task.dataset_name, first + k) for k in range(FAN_OUT)]


class KeepEven(PinnedStage):
    def process(self, task: Number) -> Number | None:
        return task if task.data % 2 == 0 else None


class Generate(PinnedStage):
    """Yields `each` numbers per source."""

    def __init__(self, name: str, each: int) -> None:
        super().__init__(name)
        self.each = each

    def process(self, task: Number) -> Iterator[Number]:
        first = task.data * self.each
        for value in range(first, first + self.each):
            yield Number(task.dataset_name, value)


class CountingSink(PinnedStage):
    """Gives out one task in a thousand, and writes at teardown how many it saw and their sum."""

    def __init__(self, name: str, tally: str) -> None:
        super().__init__(name)
        self.tally = tally
        self.count = self.total = 0

    def process(self, task: Number) -> Number | None:
        self.count += 1
        self.total += task.data
        return task if task.data % KEPT_ONE_IN == 0 else None

    def teardown(self) -> None:
        with Path(self.tally).open("a") as out:
            out.write(f"{self.count} {self.total}\n")


class GenerateArrays(PinnedStage):
    """Yields `each` arrays of 8 MB per source, filled with their number."""

    def __init__(self, name: str, each: int) -> None:
        super().__init__(name)
        self.each = each

    def process(self, task: Number) -> Iterator[Array]:
        first = task.data * self.each
        for value in range(first, first + self.each):
            yield Array(task.dataset_name, np.full(CHUNK_ITEMS, value, dtype=np.float64))


class SlowSink(PinnedStage):
    """Takes a while for each array and gives out its first and last value."""

    def process(self, task: Array) -> Array:
        time.sleep(SLOW_SINK_S)
        return Array(task.dataset_name, [float(task.data[0]), float(task.data[-1])])


class LongCall(PinnedStage):
    """One call that lasts; a file says that it has begun."""

    def __init__(self, name: str, seconds: float, begun: str) -> None:
        super().__init__(name)
        self.seconds = seconds
        self.begun = begun

    def process(self, task: Task[Any]) -> Task[Any]:
        Path(self.begun).touch()
        time.sleep(self.seconds)
        return task


@dataclass(frozen=True)
class Workload:
    """One kind of work.

    Attributes:
        name: short name, as in the tables.
        title: what it is, for people.
        values: the plain inputs, given how large the run is.
        stages: our stages, given how large the run is and a directory for side files.
        tasks: the inputs as tasks.
        problems: what is wrong with the plain output values; empty if nothing.
        per_batch: batch sizes of the stages, in order.
        spread: True if a stage may emit several tasks for one, so that inputs and outputs differ.
        store_hz: how often a second the object store is looked at.
    """

    name: str
    title: str
    values: Callable[[int], list[Any]]
    stages: Callable[[int, Path], list[Stage]]
    tasks: Callable[[list[Any]], list[Task[Any]]]
    problems: Callable[[int, Sequence[Any], Path], list[str]]
    per_batch: tuple[int, int, int] = (1, 1, 1)
    spread: bool = False
    store_hz: float = 1.0


def _numbers(n: int) -> list[Any]:
    return list(range(n))


def _number_tasks(values: list[Any]) -> list[Task[Any]]:
    return [Number("bench", value) for value in values]


def _array_tasks(values: list[Any]) -> list[Task[Any]]:
    return [Array("bench", value) for value in values]


def _differs(got: Sequence[Any], wanted: Sequence[Any]) -> list[str]:
    have, want = Counter(got), Counter(wanted)
    if have == want:
        return []
    missing, extra = want - have, have - want
    lack = f"{missing.total()} missing (e.g. {next(iter(missing), None)})"
    return [f"outputs differ: {lack}, {extra.total()} too many (e.g. {next(iter(extra), None)})"]


def _same_numbers(n: int, got: Sequence[Any], _: Path) -> list[str]:
    return _differs(got, range(n))


def _even_numbers(n: int, got: Sequence[Any], _: Path) -> list[str]:
    return _differs(got, range(0, n * FAN_OUT, 2))


def _sums(n: int, got: Sequence[Any], _: Path) -> list[str]:
    return _differs(
        [tuple(sums) for sums in got], [(i * float(ARRAY_ITEMS),) * 3 for i in range(n)]
    )


def _tally(directory: Path) -> str:
    return str(directory / "tally")


def _counted(n: int, got: Sequence[Any], directory: Path) -> list[str]:
    made = _each(n) * min(n, SOURCES)
    seen = np.loadtxt(_tally(directory), dtype=np.int64, ndmin=2).sum(axis=0).tolist()
    evens = (made + 1) // 2
    wanted = [evens, evens * (evens - 1)]
    found = [] if seen == wanted else [f"the sink saw [count, sum] {seen}, wanted {wanted}"]
    return found + _differs(got, range(0, made, KEPT_ONE_IN))


def _each(n: int) -> int:
    return max(1, n // SOURCES)


def _chunk_ends(n: int, got: Sequence[Any], _: Path) -> list[str]:
    return _differs([tuple(ends) for ends in got], [(float(i),) * 2 for i in range(n)])


def array_values(n: int) -> list[Any]:
    """`n` arrays of 5 MB, the i-th filled with i."""
    return [np.full(ARRAY_ITEMS, i, dtype=np.float64) for i in range(n)]


def _chunk_sources(n: int) -> int:
    return max(1, n // 100)


W1 = Workload(
    "W1",
    "3 no-op stages, batch 1",
    _numbers,
    lambda n, d: [NoOp("first"), NoOp("second"), NoOp("third")],
    _number_tasks,
    _same_numbers,
)
W1B = Workload(
    "W1b",
    "3 no-op stages, batch 32",
    _numbers,
    lambda n, d: [NoOpBatch(name, BATCH) for name in ("first", "second", "third")],
    _number_tasks,
    _same_numbers,
    per_batch=(BATCH, BATCH, BATCH),
)
W2 = Workload(
    "W2",
    "arrays of 5 MB through 3 stages that sum",
    array_values,
    lambda n, d: [SumArray("first"), SumArray("second"), SumArray("third", last=True)],
    _array_tasks,
    _sums,
    store_hz=10.0,
)


def _sleeps(workload: str) -> list[Stage]:
    names = ("first", "second", "third")
    return [Sleep(*pair) for pair in zip(names, SLEEPS_S[workload], strict=True)]


W3 = Workload(
    "W3",
    "sleeps of 5, 50 and 10 ms, scaled freely",
    _numbers,
    lambda n, d: _sleeps("W3"),
    _number_tasks,
    _same_numbers,
)
W3S = Workload(
    "W3s",
    "sleeps of 50, 500 and 100 ms, scaled freely",
    _numbers,
    lambda n, d: _sleeps("W3s"),
    _number_tasks,
    _same_numbers,
)
W4 = Workload(
    "W4",
    "fan-out ×10, keep half, pass on",
    _numbers,
    lambda n, d: [FanOut("fan-out"), KeepEven("keep-half"), NoOp("pass-on")],
    _number_tasks,
    _even_numbers,
    spread=True,
)
W5 = Workload(
    "W5",
    "one task through 3 stages",
    _numbers,
    lambda n, d: [NoOp("first"), NoOp("second"), NoOp("third")],
    _number_tasks,
    _same_numbers,
)
MANY = Workload(
    "M",
    "many small tasks: 1,000 sources yield them, a filter halves them, a sink counts",
    lambda n: _numbers(min(n, SOURCES)),
    lambda n, d: [
        Generate("generate", _each(n)),
        KeepEven("keep-half"),
        CountingSink("sink", _tally(d)),
    ],
    _number_tasks,
    _counted,
    spread=True,
    store_hz=4.0,
)
STORE = Workload(
    "S",
    "arrays of 8 MB yielded into a slow sink, store much smaller than the data",
    lambda n: _numbers(_chunk_sources(n)),
    lambda n, d: [
        GenerateArrays("generate", n // _chunk_sources(n)),
        NoOp("pass-on"),
        SlowSink("sink"),
    ],
    _number_tasks,
    _chunk_ends,
    spread=True,
    store_hz=10.0,
)

WORKLOADS = {w.name: w for w in (W1, W1B, W2, W3, W3S, W4, W5, MANY, STORE)}


@dataclass
class IdlePipeline:
    """Three stages of which the middle one is inside a single long call.

    Attributes:
        seconds: how long the call lasts.
        directory: where the file appears that says the call has begun.
    """

    seconds: float
    directory: Path
    begun: Path = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.directory / "begun"

    def stages(self) -> list[Stage]:
        """The stages; the first is fed one empty task."""
        return [NoOp("first"), LongCall("long", self.seconds, str(self.begun)), NoOp("third")]

    def tasks(self) -> list[Task[Any]]:
        """One task."""
        return [EmptyTask()]
