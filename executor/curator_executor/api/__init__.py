"""What stage authors import; neither Ray nor NeMo Curator is loaded by it."""

from curator_executor.api.composite import CompositeStage
from curator_executor.api.decorators import processing_stage
from curator_executor.api.perf import StagePerfStats
from curator_executor.api.pipeline import Pipeline
from curator_executor.api.resources import Resources
from curator_executor.api.stage import (
    NodeInfo,
    ProcessingStage,
    WorkerMetadata,
)
from curator_executor.api.tasks import (
    DocumentBatch,
    EmptyTask,
    FailedTask,
    FileGroupTask,
    NoneTask,
    Task,
)

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
    "processing_stage",
]
