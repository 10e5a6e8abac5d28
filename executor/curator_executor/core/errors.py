"""Errors that a run can end with.

CuratorError
├── RayUnavailable       Ray cannot be reached or started
├── InvalidPipeline      the stages cannot run as they are; said before any worker starts
├── DoesNotFit           a stage needs more than any node has
├── StageFailed          a batch failed and failures are not ignored
├── SetupFailed          a stage's set-up failed in every attempt
├── WorkersKeepDying     workers of a stage die before they are ready
└── TooManyFailures      more dead letters than `max_failures`
"""

from __future__ import annotations

from collections.abc import Sequence


class CuratorError(Exception):
    """Base of all errors that this package raises on purpose; its text is for users.

    Attributes:
        report: the figures of the run that it ended, if one had begun.
        failed: the batches that failed, with their input where it was kept.
    """

    report: object = None
    failed: Sequence[object] = ()


class RayUnavailable(CuratorError, ConnectionError):
    """Ray cannot be reached or started."""


class InvalidPipeline(CuratorError, ValueError):
    """The stages cannot run as they are."""


class DoesNotFit(CuratorError, ValueError):
    """A stage needs more than any node has."""


class StageFailed(CuratorError, RuntimeError):
    """A batch failed and failures are not ignored; `__cause__` is the stage's own exception."""


class SetupFailed(CuratorError, RuntimeError):
    """A stage's set-up failed; `__cause__` is its own exception."""


class WorkersKeepDying(CuratorError, RuntimeError):
    """Workers of a stage die before they are ready."""


class TooManyFailures(CuratorError, RuntimeError):
    """More dead letters than the run allows."""
