"""Tasks: what flows between stages. Names, attributes and rules are NeMo Curator's.

Imported by stage authors, so nothing here imports Ray, pandas or pyarrow at module level.
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from curator_executor.api.perf import StagePerfStats, unpack_chain

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")
log = logging.getLogger("curator_executor.tasks")


def _empty_table() -> Any:
    import pyarrow as pa

    return pa.table({})


class _Kept:
    """An attribute that the executor keeps for a task: made when read first, then the task's own.

    The executor leaves a task an origin (what it knows of many tasks) and a row in it; most stages
    never look. It is no data descriptor, so a value of the task's own comes first.

    Args:
        name: of the attribute.
        default: value of a task that no executor has seen.
        method: of the origin; takes the row.
    """

    def __init__(self, name: str, default: Any, method: str) -> None:
        self._name = name
        self._default = default
        self._method = method

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        if task is None:
            return self._default
        state = task.__dict__
        origin = state.get("_origin")
        if origin is None:
            return self._default
        value = state[self._name] = getattr(origin, self._method)(state["_row"])
        return value


class _KeptPerf:
    """`_stage_perf`: the list comes into being when somebody reads it."""

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        if task is None:
            return self
        state = task.__dict__
        origin = state.get("_origin")
        if origin is not None:
            perf = origin.stage_perf(state["_row"])
        else:
            packed, names = state.get("_perf_packed", b""), state.get("_perf_names", ())
            metrics = state.get("_perf_metrics")
            perf = [*state.get("_perf_prior", ()), *unpack_chain(packed, names, metrics)]
        state["_stage_perf"] = perf
        return perf


def settled(state: dict[str, Any]) -> dict[str, Any]:
    """A task's attributes, with its id, key and figures among them instead of its origin."""
    own = {key: value for key, value in state.items() if key not in ("_origin", "_row")}
    return {**state["_origin"].attributes(state["_row"]), **own}


@dataclass
class Task(ABC, Generic[T]):
    """A unit of work: a payload and what the executor knows about it.

    Attributes:
        dataset_name: data set the task belongs to.
        data: the payload.
        task_id: path of positions through the pipeline (`"0_3_0"`), set by the executor after
            every stage; never by a stage.
        _metadata: free-form values that travel with the task.
        _stage_perf: one `StagePerfStats` per stage passed, in order; kept by the executor.
        _source_id: the input partition this task descends from.
        _lineage_key: 16 bytes that are the same whenever the same task is made again; set by the
            executor. Writers name files after it.
    """

    dataset_name: str
    data: T
    _stage_perf: list[StagePerfStats] = field(default_factory=list)
    _metadata: dict[str, Any] = field(default_factory=dict)
    task_id: str = field(init=False, default="")
    _source_id: str = field(init=False, default="")

    # No dataclass field at run time: the executor keeps it, and subclasses may add positional ones.
    if TYPE_CHECKING:
        _lineage_key: bytes = field(init=False, default=b"")
    else:
        _lineage_key = _Kept("_lineage_key", b"", "lineage_key")

    def __post_init__(self) -> None:
        self.validate()

    @property
    @abstractmethod
    def num_items(self) -> int:
        """Number of items in the payload (documents, files, clips)."""

    @abstractmethod
    def validate(self) -> bool:
        """Whether the payload is usable. False only warns; raise to refuse."""

    def add_stage_perf(self, perf_stats: StagePerfStats) -> None:
        """Append the figures of one more stage."""
        self._stage_perf.append(perf_stats)

    def get_deterministic_id(self) -> str | None:
        """Identifier made from the content, or None to use the position.

        Used for what a source stage emits, so that adding an input file does not rename the
        tasks of the others.
        """
        return None

    def get_source_id(self) -> str:
        """Last segment of `task_id`."""
        return self.task_id.rsplit("_", 1)[-1]

    def _set_task_id(self, parent_task_id: str, current_task_id_suffix: str | int) -> None:
        self.task_id = (
            f"{parent_task_id}_{current_task_id_suffix}"
            if parent_task_id
            else str(current_task_id_suffix)
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}(task_id={self.task_id}, dataset_name={self.dataset_name})"

    def __getstate__(self) -> Any:
        """What is pickled or copied: id, key and figures are the task's own by then."""
        state: Any = object.__getstate__(self)
        if "_origin" not in self.__dict__:
            return state
        own = settled(self.__dict__)
        return (own, *state[1:]) if type(state) is tuple else own


# Put in after @dataclass made __init__, which would take them for defaults.
Task._stage_perf = _KeptPerf()  # type: ignore[assignment]
Task.task_id = _Kept("task_id", "", "task_id")  # type: ignore[assignment]


@dataclass
class SentinelTask(Task[None]):
    """A marker without payload."""

    data: None = None

    def __post_init__(self) -> None:
        if self.data is not None:
            raise ValueError(f"{type(self).__name__} carries no data, got {type(self.data)}")
        super().__post_init__()

    @property
    def num_items(self) -> int:
        """Always 0."""
        return 0

    def validate(self) -> bool:
        """Always true."""
        return True


@dataclass
class EmptyTask(SentinelTask):
    """What a pipeline without initial tasks starts from; its id is `"0"`."""

    dataset_name: str = "empty"
    task_id: str = field(init=False, default="0")


@dataclass
class NoneTask(SentinelTask):
    """A returned slot that was filtered on purpose."""

    dataset_name: str = "none"


@dataclass
class FailedTask(SentinelTask):
    """A returned slot that failed: counted and kept as a dead letter, not passed on."""

    dataset_name: str = "failed"


@dataclass
class FileGroupTask(Task[list[str]]):
    """Paths that one reader call opens.

    Attributes:
        data: the paths; any URL that fsspec understands.
        reader_config: options for the reader.
    """

    reader_config: dict[str, Any] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)

    @property
    def num_items(self) -> int:
        """Number of paths."""
        return len(self.data)

    def validate(self) -> bool:
        """False (with a warning) for an empty group.

        Raises:
            TypeError: `data` is not a list.
        """
        if len(self.data) == 0:
            log.warning("file group %s has no files", self.task_id or "(new)")
            return False
        if not isinstance(self.data, list):
            raise TypeError(f"FileGroupTask.data must be a list, got {type(self.data).__name__}")
        return True

    def get_deterministic_id(self) -> str:
        """Twelve hex digits of the hash of the sorted paths."""
        joined = ";".join(sorted(self.data))
        return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass
class DocumentBatch(Task["pa.Table | pd.DataFrame"]):
    """Documents as rows of a PyArrow table or a pandas frame."""

    data: Any = field(default_factory=_empty_table)

    def to_pyarrow(self) -> pa.Table:
        """The documents as a PyArrow table.

        Raises:
            TypeError: `data` is neither a table nor a frame.
        """
        import pyarrow as pa

        if isinstance(self.data, pa.Table):
            return self.data
        if hasattr(self.data, "iloc"):
            return pa.Table.from_pandas(self.data)
        raise TypeError(f"DocumentBatch holds {type(self.data).__name__}, wanted a table or frame")

    def to_pandas(self) -> pd.DataFrame:
        """The documents as a pandas frame.

        Raises:
            TypeError: `data` is neither a table nor a frame.
        """
        if hasattr(self.data, "iloc"):
            return cast("pd.DataFrame", self.data)
        if hasattr(self.data, "to_pandas"):
            return cast("pd.DataFrame", self.data.to_pandas(use_threads=False))
        raise TypeError(f"DocumentBatch holds {type(self.data).__name__}, wanted a table or frame")

    @property
    def num_items(self) -> int:
        """Number of documents."""
        return len(self.data)

    def get_columns(self) -> list[str]:
        """Names of the columns.

        Raises:
            TypeError: `data` is neither a table nor a frame.
        """
        if hasattr(self.data, "column_names"):
            return list(self.data.column_names)
        if hasattr(self.data, "columns"):
            return list(self.data.columns)
        raise TypeError(f"DocumentBatch holds {type(self.data).__name__}, wanted a table or frame")

    def validate(self) -> bool:
        """False (with a warning) for a batch without rows or columns."""
        if self.num_items <= 0:
            log.warning("document batch %s has no documents", self.task_id or "(new)")
            return False
        if not self.get_columns():
            log.warning("document batch %s has no columns", self.task_id or "(new)")
            return False
        return True


TaskTransform = Callable[[Task[Any]], "Task[Any] | list[Task[Any]] | None"]
