"""Binaries are built once, whole or not at all; what is missing is said. With a stand-in for Go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.processes import eventually

GO = """#!/bin/sh
[ "$1" = env ] && { echo "${VERSION:-go1.26.0}"; exit; }
echo built >> "$CURATOR_CACHE/builds"
while [ "$1" != -o ]; do shift; done
echo half > "$2"
[ -z "$FAIL" ] || { echo "undefined: something"; exit 1; }
[ -z "$MEET" ] || until [ -e "$MEET/second" ]; do sleep 0.05; done
echo whole > "$2"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a machine with the stand-in for Go and an empty cache."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "cache").mkdir()
    go = tmp_path / "bin" / "go"
    go.write_text(GO)
    go.chmod(0o755)
    path = f"{go.parent}:/usr/bin:/bin"
    return {**os.environ, "PATH": path, "CURATOR_CACHE": str(tmp_path / "cache")}


def command(environment: dict[str, str], *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster.binaries", *names],
        cwd=binaries.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def built(environment: dict[str, str]) -> int:
    """How often Go built something."""
    return len((Path(environment["CURATOR_CACHE"]) / "builds").read_text().splitlines())


def files(environment: dict[str, str]) -> set[str]:
    """What lies in the cache's folders, beside their locks."""
    found = Path(environment["CURATOR_CACHE"]).glob("binaries/*/*")
    return {path.name for path in found} - {".lock"}


def test_binary_is_built_once(environment: dict[str, str]) -> None:
    first, second = command(environment, "etcd"), command(environment, "etcd")
    assert first.returncode == second.returncode == 0
    path = Path(second.stdout.split()[-1])
    assert path.read_text() == "whole\n"
    assert built(environment) == 1


def test_calls_at_the_same_time_build_once(environment: dict[str, str], tmp_path: Path) -> None:
    """Whoever is second waits for the first, whose Go does not end before."""
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    environment["MEET"] = str(meeting)
    said = tmp_path / "said"
    calls = [sys.executable, "-m", "tests.cluster.binaries", "etcd"]
    with (
        said.open("w") as output,
        subprocess.Popen(calls, cwd=binaries.ROOT, env=environment, stdout=output) as first,
        subprocess.Popen(calls, cwd=binaries.ROOT, env=environment, stdout=output) as second,
    ):
        eventually(lambda: "waiting for another build" in said.read_text(), "the second waits")
        (meeting / "second").touch()
        assert (first.wait(), second.wait()) == (0, 0)
    assert built(environment) == 1


def test_failed_build_leaves_its_log_and_no_binary(environment: dict[str, str]) -> None:
    ran = command({**environment, "FAIL": "yes"}, "etcd")
    assert ran.returncode == 1
    assert "ended with status 1" in ran.stderr
    assert "undefined: something" in ran.stderr
    assert files(environment) == {"etcd.log"}


def test_missing_go_is_said(environment: dict[str, str], tmp_path: Path) -> None:
    ran = command({**environment, "PATH": str(tmp_path / "nothing")}, "etcd")
    assert ran.returncode == 1
    assert "Install Go 1.21 or newer" in ran.stderr


def test_go_that_cannot_fetch_a_newer_one_is_said(environment: dict[str, str]) -> None:
    ran = command({**environment, "VERSION": "go1.20.3"}, "etcd")
    assert ran.returncode == 1
    assert "go is go1.20.3" in ran.stderr
    assert files(environment) == set()


def test_unknown_name_is_said(environment: dict[str, str]) -> None:
    ran = command(environment, "kubelet2")
    assert ran.returncode == 1
    assert "no such binary: kubelet2; there are etcd" in ran.stderr
