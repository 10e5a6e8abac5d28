"""Stream tasks through autoscaled pools of Ray actors, one pool per stage.

Importing this loads neither Ray nor NeMo Curator; `XennaExecutor` loads Ray when it executes.
"""

from curator_executor.api import (
    CompositeStage,
    DocumentBatch,
    EmptyTask,
    FailedTask,
    FileGroupTask,
    NodeInfo,
    NoneTask,
    Pipeline,
    ProcessingStage,
    Resources,
    StagePerfStats,
    Task,
    WorkerMetadata,
    processing_stage,
)
from curator_executor.executor import XennaExecutor

__version__ = "0.1.0"

__all__ = [
    "CompositeStage",
    "DocumentBatch",
    "EmptyTask",
    "FailedTask",
    "FileGroupTask",
    "NodeInfo",
    "NoneTask",
    "Pipeline",
    "ProcessingStage",
    "Resources",
    "StagePerfStats",
    "Task",
    "WorkerMetadata",
    "XennaExecutor",
    "processing_stage",
]
