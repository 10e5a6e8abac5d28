"""Programs of the test bed: nothing outlives a test run, and what fails says why."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cluster.binaries import ROOT
from tests.cluster.processes import Program, ProgramEnded, TookTooLong, eventually, free_port

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);"
# Starts a program as the fixtures do, says its id and waits to be killed.
TEST_RUN = f"""
import pathlib, signal, sys
from tests.cluster.processes import Program
program = Program("sleeper", {SLEEP!r}, pathlib.Path(sys.argv[1]))
program.wait_until(lambda: "up" in program.log_text(), "is up", 30)
print(program.pid, flush=True)
signal.pause()
"""


def is_alive(pid: int) -> bool:
    """Whether a process still does something; its adopter may not have looked at its end yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_programs_end_when_the_test_run_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TEST_RUN, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as test_run:
        assert test_run.stdout
        pid = int(test_run.stdout.readline())
        assert is_alive(pid)
        test_run.kill()
        eventually(lambda: not is_alive(pid), "the program ends")


def test_program_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    program = Program("short", [sys.executable, "-c", "print('no such flag'); exit(2)"], tmp_path)
    with pytest.raises(ProgramEnded, match=r"short ended with status 2(.|\n)*no such flag"):
        program.wait_until(lambda: False, "ready", within_s=30)


def test_program_that_is_late_is_told_with_its_log(tmp_path: Path) -> None:
    program = Program("late", SLEEP, tmp_path)
    with pytest.raises(TookTooLong, match=r"late: ready: not within 0 s(.|\n)*late.log ends"):
        program.wait_until(lambda: False, "ready", within_s=0)
    assert program.stop() == -signal.SIGTERM


def test_program_that_ignores_a_signal_is_killed(tmp_path: Path) -> None:
    program = Program("deaf", [sys.executable, "-c", DEAF + "signal.pause()"], tmp_path)
    program.wait_until(lambda: "deaf" in program.log_text(), "says something", within_s=30)
    assert program.stop(within_s=0.1) == -signal.SIGKILL


def test_what_was_seen_last_is_said() -> None:
    def look() -> bool:
        raise AssertionError("one is two")

    with pytest.raises(TookTooLong, match=r"a miracle: not within 0 s; seen last: one is two"):
        eventually(look, "a miracle", within_s=0)


def test_a_free_port_is_none_that_the_system_gives_to_others_meanwhile() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    first, last = map(int, given)
    drawn = [free_port() for _ in range(200)]
    assert not any(first <= port <= last for port in drawn)
    assert len(set(drawn)) > 190
