"""Story: somebody without an image of their own submits code, watches it, reads what it says, and
runs it again, with `curator` and as a plugin of kubectl.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.e2e.pipelines import numbers, pipeline
from tests.e2e.team import CODE, Team

NAME = "think"
NUMBERS = 40


def test_code_is_submitted_watched_read_and_run_again(team: Team, tmp_path: Path) -> None:
    manifest = _without_code(team, tmp_path / "think.yaml")

    submitted = team.curator("submit", manifest, "--code", str(CODE.parent))
    assert re.search(rf"{team.name}/{NAME} created with [\d,]+ bytes of code", submitted.said)
    with team.started_curator("logs", "--follow", NAME) as log:
        watched = team.curator("watch", NAME)
        log_said, _ = log.communicate(timeout=60)

    assert watched.code == 0, watched
    inputs = [int(done) for done in re.findall(r"inputs=(\d+)/", watched.said)]
    assert len(set(inputs)) > 2, "progress was seen while it ran"
    assert inputs == sorted(inputs)
    assert "phase=Succeeded" in watched.said.splitlines()[-1]
    assert "stages=[shards" in watched.said
    assert log.returncode == 0
    # Ray leaves out lines that differ in their numbers alone.
    assert "story: saved number 0" in log_said, "what stages print is in the driver's log"
    assert team.curator("logs", NAME).code == 1
    assert "is gone, and its log with it" in team.curator("logs", NAME).complained

    again = team.curator("rerun", NAME, "--wait", as_plugin=True)

    assert again.code == 0, again
    assert f"{team.name}/{NAME}-2 created" in again.said
    assert team.status(f"{NAME}-2")["phase"] == "Succeeded"
    assert len(team.saved()) == NUMBERS


def _without_code(team: Team, path: Path) -> str:
    """The manifest of a pipeline whose stages are in no image and on no volume."""
    # Twenty seconds of work for two workers: the operator looks at least twice on the way.
    given = pipeline(NAME, numbers(NUMBERS // 2, 2, 1.0), image=team.image)
    cluster = given["spec"]["cluster"]
    del cluster["env"]
    for field in ("volumes", "volumeMounts"):
        cluster[field] = [each for each in cluster[field] if each["name"] != "code"]
    path.write_text(json.dumps(given))
    return str(path)
