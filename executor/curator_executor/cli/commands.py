"""Each command by name, and what its errors become. Called by `main`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from curator_executor.cli.debug import debug_batch
from curator_executor.cli.logs import start_logging
from curator_executor.cli.outcome import FAILED, Ending, ending_of
from curator_executor.cli.plan import show_plan
from curator_executor.cli.run import run_pipeline
from curator_executor.cli.services import Services
from curator_executor.cli.validate import validate_manifests


def run_command(options: Namespace, services: Services) -> int:
    """Run a command; the exit code.

    Args:
        options: the command line, parsed.
        services: the steps to work with; tests hand in others.
    """
    commands = {
        "run": run_pipeline,
        "validate": validate_manifests,
        "plan": show_plan,
        "debug": debug_batch,
    }
    for stream in (sys.stdout, sys.stderr):
        # Where the encoding lacks a sign, a question mark is better than no output.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    start_logging(options.log_level, options.verbose)
    command = commands[options.command]
    try:
        return ending_of(lambda: Ending(command(options, services)), options.verbose).code
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
