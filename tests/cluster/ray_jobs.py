"""Lives of simulated Ray jobs: what Ray and the driver say of a job at a time.

Used by `ray_heads.py`. Nothing runs and nothing waits: a job's state follows from its script, from
what was asked of it and from the time, so thousands of them cost nothing between two questions.
Texts and fields are those of Ray 2.60's Jobs API; `test_real_ray_head.py` holds them against a real
head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from curator_api import last_word
from curator_api.progress import ProgressSnapshot, RunState, StageProgress, WorkerCounts

CANCELLED = 130
KILLED = 137
# Exit codes of the driver with which all inputs are done.
DONE = {0, 3}
RUN_STATE: dict[int, RunState] = {0: "Succeeded", 3: "Succeeded", CANCELLED: "Cancelled"}
NEVER = float("inf")
# Over how long the inputs of a run without an end are spread.
ENDLESS_S = 3600.0
NODE = "127.0.0.1"


@dataclass(frozen=True)
class Script:
    """How a job goes if nobody interferes.

    Attributes:
        pending_s: from submission until the driver runs.
        running_s: of work; for ever unless something ends it.
        exit_code: the driver's: 0 done, 1 a stage failed, 2 refused, 3 dead letters, 130 cancelled.
        message: the driver's last words.
        inputs: of the pipeline; they finish evenly.
        stages: their names.
        drain_s: from a drain until the run is over.
        linger_s: how long the driver keeps its last snapshot for somebody to fetch it.
        logs_end: whether the driver ends its log with its last snapshot, unless it is killed; one
            of an older image does not.
    """

    pending_s: float = 0.0
    running_s: float = NEVER
    exit_code: int = 0
    message: str = ""
    inputs: int = 1000
    stages: tuple[str, ...] = ("read", "embed", "write")
    drain_s: float = 0.0
    linger_s: float = 20.0
    logs_end: bool = True


class End(NamedTuple):
    """When a run is over, the driver's exit code, and how long the driver stays after that."""

    at: float
    exit_code: int
    linger_s: float


@dataclass
class Job:
    """One submitted job. Times are seconds since 1970.

    Attributes:
        submission_id: its id.
        request: body of the POST that was accepted.
        script: how it goes.
        submitted_at: when it was accepted.
        drained_at: when its driver was first asked to wind up.
        stopped_at: when Ray was asked to stop it, which it did at once.
        fetched_at: when its driver's last snapshot was first fetched.
    """

    submission_id: str
    request: dict[str, Any]
    script: Script
    submitted_at: float
    drained_at: float | None = None
    stopped_at: float | None = None
    fetched_at: float | None = None
    _finished: End | None = None

    def finish(self, now: float, exit_code: int) -> None:
        """The run is over now, whatever the script says; the driver waits for a last fetch."""
        self._finished = self._finished or End(now, exit_code, self.script.linger_s)

    def kill(self, now: float) -> None:
        """The driver's process is killed now, as for want of memory."""
        self._finished = self._finished or End(now, KILLED, 0.0)

    def drain(self, now: float) -> None:
        """The driver is asked to wind up; twice is once."""
        self.drained_at = now if self.drained_at is None else self.drained_at

    def stop(self, now: float) -> bool:
        """Ray is asked to stop it; whether there was anything to stop."""
        if self.status(now) not in {"PENDING", "RUNNING"}:
            return False
        self.stopped_at = now
        return True

    def status(self, now: float) -> str:
        """As Ray names it."""
        if self.stopped_at is not None:
            return "STOPPED"
        if now < self._began_at():
            return "PENDING"
        if now < self._exits_at():
            return "RUNNING"
        return "FAILED" if self._end().exit_code else "SUCCEEDED"

    def details(self, now: float) -> dict[str, Any]:
        """Ray's answer to `GET /api/jobs/{submission_id}`."""
        status = self.status(now)
        exited = status in {"SUCCEEDED", "FAILED"}
        ended_at = self._exits_at() if exited else self.stopped_at
        began = status != "PENDING"
        return {
            "type": "SUBMISSION",
            "job_id": None,
            "submission_id": self.submission_id,
            "driver_info": None,
            "status": status,
            "entrypoint": self.request["entrypoint"],
            "message": self._message(status, now),
            "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR" if status == "FAILED" else None,
            "start_time": int(self.submitted_at * 1000),
            "end_time": None if ended_at is None else int(ended_at * 1000),
            "metadata": self.request.get("metadata"),
            "runtime_env": self.request.get("runtime_env"),
            "driver_agent_http_address": f"http://{NODE}:52365" if began else None,
            "driver_node_id": "5" * 56 if began else None,
            "driver_exit_code": self._end().exit_code if exited else None,
        }

    def fetch(self, now: float) -> ProgressSnapshot | None:
        """What the driver serves; None while there is no driver, and after its exit.

        The first fetch of the last snapshot lets the driver exit.
        """
        if self.status(now) != "RUNNING":
            return None
        if now >= self._end().at and self.fetched_at is None:
            self.fetched_at = now
        return self._snapshot(now)

    def log(self, now: float) -> str:
        """What the driver has logged so far: nothing before the run is over."""
        end = self._end()
        if self.status(now) == "PENDING" or now < end.at:
            return ""
        said = [self.script.message]
        if self.script.logs_end and end.exit_code != KILLED:
            said.append(last_word.written(self._snapshot(end.at).model_dump_json(by_alias=True)))
        return "".join(f"{line}\n" for line in said)

    def _snapshot(self, now: float) -> ProgressSnapshot:
        end = self._end()
        is_over = now >= end.at
        rate = self.script.inputs / min(self.script.running_s or 1.0, ENDLESS_S)
        done = self.script.inputs
        if not is_over or end.exit_code not in DONE:
            done = min(done, int(rate * (min(now, end.at) - self._began_at())))
        state: RunState = "Running" if self.drained_at is None else "Draining"
        return ProgressSnapshot(
            run_id=self.submission_id,
            pipeline=self.submission_id,
            state=RUN_STATE.get(end.exit_code, "Failed") if is_over else state,
            time=now,
            elapsed_s=now - self._began_at(),
            inputs_done=done,
            inputs_total=self.script.inputs,
            percent=100.0 * done / self.script.inputs,
            inputs_per_second=0.0 if is_over else rate,
            eta_s=None if is_over else (self.script.inputs - done) / rate,
            stages=[_stage(name, done, 0.0 if is_over else rate) for name in self.script.stages],
            message=self.script.message if is_over else "",
        )

    def _began_at(self) -> float:
        return self.submitted_at + self.script.pending_s

    def _end(self) -> End:
        """The first of what ends the run: its script, a drain, the test."""
        began_at, linger_s = self._began_at(), self.script.linger_s
        ends = [End(began_at + self.script.running_s, self.script.exit_code, linger_s)]
        if self.drained_at is not None:
            over_at = max(self.drained_at, began_at) + self.script.drain_s
            ends.append(End(over_at, CANCELLED, linger_s))
        if self._finished:
            ends.append(self._finished)
        return min(ends, key=lambda end: end.at)

    def _exits_at(self) -> float:
        end = self._end()
        latest = end.at + end.linger_s
        return latest if self.fetched_at is None else min(latest, self.fetched_at)

    def _message(self, status: str, now: float) -> str:
        if status == "FAILED":
            return (
                f"Job entrypoint command failed with exit code {self._end().exit_code}, "
                f"last available logs (truncated to 20,000 chars):\n{self.log(now)}"
            )
        return {
            "PENDING": "Job has not started yet. It may be waiting for the runtime environment "
            "to be set up.",
            "RUNNING": "Job is currently running.",
            "STOPPED": "Job was intentionally stopped.",
            "SUCCEEDED": "Job finished successfully.",
        }[status]


def _stage(name: str, done: int, rate: float) -> StageProgress:
    workers = WorkerCounts(ready=1, wanted=1) if rate else WorkerCounts()
    return StageProgress(
        name=name,
        workers=workers,
        done=done,
        emitted=done,
        items_per_second=rate,
        busy_percent=90.0 if rate else 0.0,
    )
