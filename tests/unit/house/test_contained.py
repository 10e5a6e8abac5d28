"""`.ci/contained.py`: whatever a command started is gone when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONTAINED = [sys.executable, str(ROOT / ".ci" / "contained.py")]
# Leaves a daemon in a session of its own, as Ray's processes are, and prints its id.
LEAVE_A_DAEMON = """
import subprocess, sys
daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                          start_new_session=True, stdout=subprocess.DEVNULL)
print(daemon.pid, flush=True)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_status_of_the_command_is_kept() -> None:
    assert subprocess.run([*CONTAINED, "sh", "-c", "exit 7"], check=False).returncode == 7


def test_unknown_command_is_said() -> None:
    ran = subprocess.run(
        [*CONTAINED, "no-such-command"], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 127
    assert "cannot run `no-such-command`" in ran.stderr


def test_daemon_of_a_failing_command_is_ended() -> None:
    ran = subprocess.run(
        [*CONTAINED, sys.executable, "-c", LEAVE_A_DAEMON + "sys.exit(3)"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 3
    assert not is_running(int(ran.stdout))
    assert "ended 1 processes" in ran.stderr


def test_daemon_of_an_interrupted_command_is_ended() -> None:
    wait_for_ever = "import signal; signal.pause()"
    with subprocess.Popen(
        [*CONTAINED, sys.executable, "-c", LEAVE_A_DAEMON + wait_for_ever],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as contained:
        assert contained.stdout is not None
        daemon = int(contained.stdout.readline())
        contained.send_signal(signal.SIGTERM)
        assert contained.wait() == 128 + signal.SIGTERM
    assert not is_running(daemon)


def test_ray_files_go_to_a_folder_that_is_removed() -> None:
    ran = subprocess.run(
        [*CONTAINED, "sh", "-c", 'echo "$RAY_TMPDIR"; test -d "$RAY_TMPDIR"'],
        check=True,
        capture_output=True,
        text=True,
    )
    assert not Path(ran.stdout.strip()).exists()
