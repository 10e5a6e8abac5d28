"""The manifest as a package, as a real Ray head takes it: how it gets into an existing cluster."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from curator_operator.desired import driver_port, package, submission
from tests.cluster.asking import ask
from tests.cluster.processes import eventually
from tests.cluster.ray_head import RayHead
from tests.unit.operator.desired.scenarios import EXISTING, UID, pipeline, spec_of

ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


def put(head: RayHead, path: str, data: bytes) -> int:
    request = urllib.request.Request(f"{head.url}{path}", data, method="PUT")
    request.add_header("Authorization", f"Bearer {head.token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def test_driver_finds_the_manifest_in_its_package(real_ray_head: RayHead) -> None:
    """The stage is of a module that is not there: that the driver says so shows that it read it."""
    spec = spec_of(EXISTING)
    carried = package(pipeline(), spec)
    body = submission(pipeline(), spec, 1)
    assert real_ray_head.ask(f"/api/packages/gcs/{carried.name}")[0] == 404
    assert put(real_ray_head, f"/api/packages/gcs/{carried.name}", carried.data) == 200
    assert real_ray_head.ask(f"/api/packages/gcs/{carried.name}")[0] == 200
    # The head of this test has no `python` on its path.
    body["entrypoint"] = body["entrypoint"].replace("python", sys.executable, 1)

    # The head's agent may not be there yet; a job that is there already was taken the first time.
    def taken() -> bool:
        status, text = real_ray_head.ask("/api/jobs/", body)
        assert status == 200 or "already exists" in text, text[-300:]
        return True

    eventually(taken, "the head takes the job", within_s=60)

    # The driver stays until its last word was heard, or 20 s are over.
    def last_word() -> dict[str, Any] | None:
        try:
            status, text = ask(
                f"http://127.0.0.1:{driver_port(UID, 1)}/progress", real_ray_head.token
            )
        except OSError:
            return None
        found: dict[str, Any] = json.loads(text)
        return found if status == 200 else None

    heard = eventually(last_word, "the driver answers at its port", within_s=60)
    assert heard["state"] == "Failed"

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(
            real_ray_head.ask(f"/api/jobs/{body['submission_id']}")[1]
        )
        return found if found["status"] in ENDED else None

    job = eventually(ended, "the driver ends", within_s=90)
    said = json.loads(real_ray_head.ask(f"/api/jobs/{body['submission_id']}/logs")[1])["logs"]
    assert job["driver_exit_code"] == 2, said
    assert "my_team" in said
    assert job["metadata"]["curator.dev/pipeline"] == "clean-web"
