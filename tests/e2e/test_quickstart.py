"""Story: somebody installs the chart, applies the example, watches it, and has the same output as
on a laptop.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.cluster.binaries import ROOT
from tests.cluster.processes import eventually
from tests.e2e.team import Team

EXAMPLE = ROOT / "examples" / "kubernetes"
INPUT = ROOT / "examples" / "text-curation" / "input"
NAME = "text-curation"


def test_the_example_runs_and_its_output_is_that_of_a_local_run(team: Team, tmp_path: Path) -> None:
    team.kubectl("create", "configmap", "text-input", f"--from-file={INPUT}")
    team.kubectl("apply", "-f", str(EXAMPLE / "volume.yaml"))
    team.kubectl("apply", "-f", str(EXAMPLE / "text-curation.yaml"))

    seen = team.phases_until_the_end(NAME)

    assert seen.phases[-1] == "Succeeded", seen
    assert [each for each in seen.phases if each in {"Starting", "Running"}] == [
        "Starting",
        "Running",
    ]
    assert seen.inputs_done == sorted(seen.inputs_done), "progress never falls"
    assert team.kubectl("wait", "cpl", NAME, "--for=condition=Complete", "--timeout=5s")
    assert team.kubectl("wait", "cpl", NAME, "--for=condition=Finished", "--timeout=5s")
    output = team.claimed("text-output")
    local = _run_locally(team.image, tmp_path)
    assert _files(output / "documents") == _files(local / "documents")
    assert {path.name for path in (output / "run").rglob("*") if path.is_file()} >= {
        "driver.log",
        "report.html",
    }
    eventually(lambda: not team.pods(NAME), "the cluster gone after the end", 60.0)


def _run_locally(image: str, scratch: Path) -> Path:
    """The same file and image without Kubernetes; returns what the pipeline sees as its output."""
    output = scratch / "output"
    output.mkdir()
    output.chmod(0o777)
    ran = subprocess.run(
        [
            *("docker", "run", "--rm", "--shm-size=1g"),
            *("-v", f"{INPUT}:/data/input:ro", "-v", f"{output}:/data/output"),
            *("-v", f"{EXAMPLE}:/manifest:ro"),
            *(image, "curator", "run", "/manifest/text-curation.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return output


def _files(folder: Path) -> dict[str, str]:
    """Names and hashes of what a writer left."""
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    assert found, f"nothing in {folder}"
    return found
