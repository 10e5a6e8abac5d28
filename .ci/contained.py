"""Run a command and leave no process of it behind, whatever its end.

Used by the Makefile for everything that starts Ray: `python .ci/contained.py COMMAND ARGUMENT…`.
On Linux this process adopts orphaned descendants (PR_SET_CHILD_SUBREAPER), so that a daemon that
has left its parent is still found, and only processes that the command started are ended, each by
its id. Elsewhere only the command's own process group is ended.

Ray's session files go to a directory of their own, removed at the end. It also keeps the command
from joining a Ray cluster that somebody else has running on this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# Ray's processes end by themselves when their driver does, and take a moment over it.
SETTLE_S = 2.0
# How long a process may take over a signal before the next, harder one.
GRACE_S = 5.0
# Nothing tells a parent that its last grandchild is gone, so the process table is read.
LOOK_EVERY_S = 0.05


def adopt_orphans() -> bool:
    """Become the parent of descendants whose parent ends; False where the system cannot."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def descendants(of: int) -> list[int]:
    """Ids of the living descendants of a process, from /proc; empty where there is none."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # The name, in parentheses, may hold anything; state and parent follow it.
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.parent.name))
    found: list[int] = []
    waiting = [of]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def reap() -> None:
    """Take note of adopted children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all(of: int) -> int:
    """End the descendants of a process; returns how many did not end by themselves."""
    survivors = 0
    for number, wait_s in ((None, SETTLE_S), (signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        deadline = time.monotonic() + wait_s
        signalled: set[int] = set()
        while left := descendants(of):
            if number is not None:
                survivors = max(survivors, len(left))
                for pid in set(left) - signalled:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
                    signalled.add(pid)
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_EVERY_S)
            reap()
    return survivors


def run(command: list[str]) -> int:
    """Run the command in its own process group; SIGINT, SIGTERM and SIGHUP are passed on to it.

    Returns:
        The command's exit status; 128 plus the number of the signal that ended it; 127 if there
        is no such command.
    """
    scratch = tempfile.mkdtemp(prefix="curator-", dir="/tmp")  # short: a socket's path ends at 107
    environment = {**os.environ, "RAY_TMPDIR": scratch}
    adopting = adopt_orphans()
    left = 0
    try:
        child = subprocess.Popen(command, env=environment, start_new_session=True)

        def pass_on(number: int, _frame: FrameType | None) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, pass_on)
        status = child.wait()
        if adopting:
            left = end_all(os.getpid())
        else:
            pass_on(signal.SIGKILL, None)
    except OSError as error:
        sys.stderr.write(f"contained: cannot run `{command[0]}`: {error.strerror}\n")
        return 127
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if left:
        sys.stderr.write(f"contained: ended {left} processes that `{command[0]}` left running\n")
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit("usage: contained.py COMMAND [ARGUMENT…]")
    sys.exit(run(sys.argv[1:]))
