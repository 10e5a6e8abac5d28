"""Run `curator` as a person does, in a process of its own, and read what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Ray's start included; a busy machine takes long for it.
ENDS_WITHIN_S = 200.0


def curator(
    *arguments: str, directory: Path, wrapper: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command's exit code and what it printed.

    Args:
        arguments: after `curator`.
        directory: where it runs.
        wrapper: command that the whole is handed to.
        environment: variables laid over this process's.
    """
    variables = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "curator_executor", *arguments],
        cwd=directory,
        env={**variables, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
