"""What a driver that was submitted to Ray as a job knows of that, and how it ends its log.

Called by `run` and `artifacts`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress

from curator_api.last_word import MOST_CHARACTERS, written
from curator_api.progress import ProgressSnapshot
from curator_executor.sinks.wire import snapshot_json

# How Ray tells a driver which submitted job it belongs to.
_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# What is not ASCII takes three times its bytes in the line, so the last size always fits.
_SIZES = (MOST_CHARACTERS, MOST_CHARACTERS // 2, MOST_CHARACTERS // 4)


def submission_of(environment: Mapping[str, str]) -> str:
    """The id under which this driver was submitted to Ray; "" if it was not."""
    try:
        job = json.loads(environment.get(_RAY_JOB) or "{}")
        return str(job.get("metadata", {}).get("job_submission_id", ""))
    except (ValueError, AttributeError):
        return ""


def tell_end(final: ProgressSnapshot, environment: Mapping[str, str]) -> None:
    """Say on standard error how the run ended, for a machine; nothing where this is no Ray job.

    Ray keeps the end of a job's log when the driver and its HTTP endpoint are gone.
    """
    if not submission_of(environment):
        return
    # A disk that is full does not change how the run ended.
    with suppress(OSError):
        print(line_of(final), file=sys.stderr, flush=True)


def line_of(final: ProgressSnapshot) -> str:
    """The line that ends the log: as much of the snapshot as Ray keeps, without tracebacks."""
    failures = [one.model_copy(update={"traceback": ""}) for one in final.failures]
    bare = final.model_copy(update={"failures": failures})
    lines = (written(snapshot_json(bare, most)) for most in _SIZES)
    return next(line for line in lines if len(line) <= MOST_CHARACTERS)
