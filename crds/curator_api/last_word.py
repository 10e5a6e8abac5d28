"""The end of a run as one line of its driver's log, which Ray keeps when the driver has gone.

Written by `curator run` where it is a submitted Ray job, read by the operator in Ray's record of
that job: whoever fetched the last snapshot over HTTP may have died since, or nobody may have asked
while it was served. Ray keeps the end of a log: 20,000 characters of at most ten lines.
"""

from __future__ import annotations

import json

from curator_api.progress import ProgressSnapshot

MARK = "curator-last-word: "
# Of Ray's 20,000; the others are for what a library prints when the process ends.
MOST_CHARACTERS = 16 * 1024
_QUOTED = MARK.replace(":", r"\u003a")
_ENDS = ("Succeeded", "Failed", "Cancelled")


def written(snapshot_json: str | bytes) -> str:
    """The line, without its end.

    Args:
        snapshot_json: a final `ProgressSnapshot` in its wire format.
    """
    # Nothing but ASCII: Ray breaks lines at more characters than at "\n", and a log may have any
    # encoding.
    text = json.dumps(json.loads(snapshot_json), separators=(",", ":"))
    # A message may quote the log of another run.
    return MARK + text.replace(MARK, _QUOTED)


def taken_out(log: str) -> tuple[str, ProgressSnapshot | None]:
    """The log without the line, and what the line says; the log as it is and None without one.

    Several runs may have written to one log: the last line counts. One that was cut off, or that
    tells of a run that goes on, counts for nothing. Fields that this version does not know are
    left out.
    """
    before, mark, after = log.rpartition(MARK)
    if not mark:
        return log, None
    try:
        _, length = json.JSONDecoder().raw_decode(after)
        snapshot = ProgressSnapshot.model_validate_json(after[:length], extra="ignore")
    except (ValueError, RecursionError):
        return log, None
    if snapshot.state not in _ENDS:
        return log, None
    return before + after[length:].removeprefix("\n"), snapshot
