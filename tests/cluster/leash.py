"""Become another program that ends when its parent does, also when the parent is killed.

Used by `processes.py`: `python leash.py PARENT COMMAND ARGUMENT…`. A test run that is killed cleans
nothing up; on Linux the kernel then ends what it started (PR_SET_PDEATHSIG, which stays over exec).
Elsewhere the program is only replaced. Done here, in a process of its own, because code between
fork and exec may lock up in a parent that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, command: list[str]) -> None:
    """Tie this process to its parent and become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
