"""Run a script as a user would, in a process of its own; signal it; see what it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
# A script starts a Ray of its own, which takes long on a busy machine.
ENDS_WITHIN_S = 150.0
# A shell that starts these tests in the background has Ctrl-C ignored, and that is passed on: to
# Python too, which then raises no KeyboardInterrupt.
HEARS_CTRL_C = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def _environment(scratch: Path) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(ROOT)
    environment["TMPDIR"] = str(scratch)
    environment["RAY_TMPDIR"] = os.environ.get("RAY_TMPDIR", "/tmp")
    return environment


@contextmanager
def started(code: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """The script, running in a process group of its own; nothing of it is left afterwards."""
    script = directory / "script.py"
    script.write_text(HEARS_CTRL_C + code)
    scratch = directory / "script scratch"
    scratch.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(scratch),
        cwd=directory,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for each in family(process.pid):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.kill()
        process.wait()


def run_script(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the script to its end."""
    with started(code, directory) as process:
        stdout, stderr = process.communicate(timeout=ENDS_WITHIN_S)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def family(pid: int) -> list[psutil.Process]:
    """All descendants of a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def interrupt(process: subprocess.Popen[str]) -> float:
    """Ctrl-C as a terminal sends it, to the whole process group; the wall clock then."""
    now = time.time()
    os.killpg(process.pid, signal.SIGINT)
    return now


def alive(processes: list[psutil.Process], within_s: float = 30.0) -> list[psutil.Process]:
    """Those that are still there at the end of the time."""
    _, left = psutil.wait_procs(processes, timeout=within_s)
    return [each for each in left if each.status() != psutil.STATUS_ZOMBIE]
