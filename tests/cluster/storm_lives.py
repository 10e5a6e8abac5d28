"""Lives of pipelines in a storm: what each is given to do, what befalls it, and how it must end.

Used by `storm.py`. A life follows from its number alone.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.ray_jobs import Script

Json = dict[str, Any]
# Job scripts by attempt, from the first; the last one holds for all later ones.
Scripts = tuple[Script, ...]
ENDLESS = Script(pending_s=0.2)
KILLED = 137


@dataclass(frozen=True)
class End:
    """How a life must end.

    Attributes:
        phase: "" where the pipeline must be gone.
        reasons: of its `Finished` condition, any of them.
        attempts: how many it must have had.
        retries_used: how many of them count against the backoff limit.
        submitted: attempts whose job must have been accepted; None: any.
    """

    phase: str
    reasons: frozenset[str] = frozenset()
    attempts: int = 1
    retries_used: int = 0
    submitted: int | None = None


@dataclass(frozen=True)
class Life:
    """One life.

    Attributes:
        kind: what it is about.
        begins_s: seconds into the storm at which it is made.
        spec: laid over the usual one.
        scripts: how its jobs go.
        befalls: what happens to it, by the phase in which it is first seen: `suspend`, `resume`,
            `delete`, `edit`, `stop job`, `restart head`, `delete head`.
        end: how it must end.
    """

    number: int
    kind: str
    begins_s: float
    scripts: Scripts
    end: End
    spec: Json = field(default_factory=dict)
    befalls: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return f"life-{self.number}"

    def script(self, attempt: int) -> Script:
        """How the job of an attempt goes."""
        return self.scripts[min(attempt, len(self.scripts)) - 1]

    def manifest(self) -> Json:
        """The pipeline as its user makes it."""
        made = copy.deepcopy(MANIFEST)
        made["metadata"]["name"] = self.name
        made["spec"] |= copy.deepcopy(self.spec)
        return made


MANIFEST: Json = {
    "apiVersion": "curator.dev/v1alpha1",
    "kind": "CuratorPipeline",
    "metadata": {"name": ""},
    "spec": {
        "stages": [
            {
                "name": "read",
                "class": "curator_executor.stages.JsonlReader",
                "args": {"paths": ["/data/*.jsonl"]},
            }
        ],
        "cluster": {
            "head": {"resources": {"cpus": 1, "memory": "2Gi"}},
            "workerGroups": [
                {
                    "name": "cpu",
                    "minReplicas": 0,
                    "maxReplicas": 2,
                    "resources": {"cpus": 1, "memory": "2Gi"},
                }
            ],
        },
        "execution": {"drainSeconds": 5},
    },
}
EDITED_MAX = 3
Given = tuple[Scripts, End, Json, tuple[tuple[str, str], ...]]
Kind = Callable[[random.Random], Given]


def _ends(chance: random.Random, exit_code: int, **more: Any) -> Script:
    return Script(pending_s=0.2, running_s=chance.uniform(0.5, 8), exit_code=exit_code, **more)


def _succeeded(attempts: int = 1, retries_used: int = 0, reason: str = "Succeeded") -> End:
    return End("Succeeded", frozenset({reason}), attempts, retries_used, attempts)


def _failed(*reasons: str, attempts: int = 1, retries_used: int = 0) -> End:
    return End("Failed", frozenset(reasons), attempts, retries_used)


def _succeeds(chance: random.Random) -> Given:
    return (_ends(chance, 0),), _succeeded(), {}, ()


def _dead_letters(chance: random.Random) -> Given:
    return (_ends(chance, 3),), _succeeded(reason="DeadLetters"), {}, ()


def _stage_fails(chance: random.Random) -> Given:
    return (_ends(chance, 1),), _failed("StageFailed"), {}, ()


def _refused(chance: random.Random) -> Given:
    return (_ends(chance, 2),), _failed("ManifestRefused"), {}, ()


def _driver_killed(chance: random.Random) -> Given:
    scripts = (_ends(chance, KILLED, linger_s=0.0), _ends(chance, 0))
    return scripts, _succeeded(2, 1), {}, ()


def _killed_too_often(chance: random.Random) -> Given:
    end = _failed("BackoffLimitExceeded", attempts=2, retries_used=1)
    return (_ends(chance, KILLED, linger_s=0.0),), end, {"backoffLimit": 1}, ()


def _head_restarts(chance: random.Random) -> Given:
    return (ENDLESS, _ends(chance, 0)), _succeeded(2, 1), {}, (("Running", "restart head"),)


def _head_goes(chance: random.Random) -> Given:
    return (ENDLESS, _ends(chance, 0)), _succeeded(2, 1), {}, (("Running", "delete head"),)


def _suspended(chance: random.Random) -> Given:
    first = Script(pending_s=0.2, drain_s=chance.uniform(0, 3))
    befalls = (("Running", "suspend"), ("Suspended", "resume"))
    return (first, _ends(chance, 0)), _succeeded(2), {}, befalls


def _made_suspended(chance: random.Random) -> Given:
    befalls = (("Suspended", "resume"),)
    return (_ends(chance, 0),), _succeeded(), {"suspend": True}, befalls


def _deadline(chance: random.Random) -> Given:
    script = Script(pending_s=0.2, drain_s=chance.uniform(0, 3))
    spec = {"activeDeadlineSeconds": chance.randint(6, 20)}
    return (script,), _failed("DeadlineExceeded"), spec, ()


def _stubborn(chance: random.Random) -> Given:
    """Its driver does not drain, so that Ray has to stop it."""
    befalls = (("Running", "suspend"), ("Suspended", "resume"))
    scripts = (Script(pending_s=0.2, drain_s=1e6), _ends(chance, 0))
    return scripts, _succeeded(2), {"execution": {"drainSeconds": 0}}, befalls


def _cancelled(chance: random.Random) -> Given:
    return (ENDLESS,), _failed("Cancelled"), {}, (("Running", "stop job"),)


def _deleted(chance: random.Random) -> Given:
    phase = chance.choice(["", "Starting", "Running", "Suspending", "Suspended", "Succeeded"])
    first = Script(pending_s=0.2, drain_s=chance.uniform(0, 4))
    if phase == "Succeeded":
        first = _ends(chance, 0)
    befalls = [("Running", "suspend")] if phase.startswith("Susp") else []
    return (first,), End(""), {}, (*befalls, (phase, "delete"))


def _forgotten(chance: random.Random) -> Given:
    return (_ends(chance, 0),), End(""), {"ttlSecondsAfterFinished": chance.randint(0, 3)}, ()


def _edited(chance: random.Random) -> Given:
    """Its job ends when the edit has reached the RayCluster."""
    return (ENDLESS,), _succeeded(), {}, (("Running", "edit"),)


def _retried(chance: random.Random) -> Given:
    scripts = (_ends(chance, 1), _ends(chance, 0))
    return scripts, _succeeded(2, 1), {"retryOn": ["StageFailed"]}, ()


KINDS: dict[str, Kind] = {
    "succeeds": _succeeds,
    "has dead letters": _dead_letters,
    "a stage fails": _stage_fails,
    "the manifest is refused": _refused,
    "the driver is killed": _driver_killed,
    "the driver is killed too often": _killed_too_often,
    "the head's container restarts": _head_restarts,
    "the head's pod goes": _head_goes,
    "is suspended and resumed": _suspended,
    "is made suspended": _made_suspended,
    "reaches its deadline": _deadline,
    "is suspended and does not drain": _stubborn,
    "is cancelled from outside": _cancelled,
    "is deleted": _deleted,
    "is forgotten after its end": _forgotten,
    "is edited": _edited,
    "a stage fails and is tried again": _retried,
}


def life_of(number: int, *, over_s: float) -> Life:
    """Life `number` of all; it begins within `over_s` seconds of its storm."""
    chance = random.Random(f"life {number}")
    kind = list(KINDS)[number % len(KINDS)]
    begins_s = chance.uniform(0, over_s)
    scripts, end, spec, befalls = KINDS[kind](chance)
    return Life(number, kind, begins_s, scripts, end, spec, befalls)
