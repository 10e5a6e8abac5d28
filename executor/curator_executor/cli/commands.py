"""Each command by name, and what its errors become. Called by `main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from curator_executor.cli.arguments import parser
from curator_executor.cli.debug import debug_batch
from curator_executor.cli.logs import start_logging
from curator_executor.cli.outcome import CANCELLED, FAILED, code_of, explain
from curator_executor.cli.plan import show_plan
from curator_executor.cli.run import run_pipeline
from curator_executor.cli.services import Services
from curator_executor.cli.validate import validate_manifests


def run_command(arguments: Sequence[str] | None, services: Services) -> int:
    """Run a command; the exit code.

    Args:
        arguments: what follows `curator`; those of the process if None.
        services: the steps to work with; tests hand in others.
    """
    commands = {
        "run": run_pipeline,
        "validate": validate_manifests,
        "plan": show_plan,
        "debug": debug_batch,
    }
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # Where the encoding lacks a sign, a question mark is better than no output.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    start_logging(options.log_level, options.verbose)
    try:
        return commands[options.command](options, services)
    except KeyboardInterrupt:
        print("curator: cancelled", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - said in one message, whatever it is
        explain(error, options.verbose)
        return code_of(error)
