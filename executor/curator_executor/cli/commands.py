"""Each command by name, and what its errors become. Called by `main`."""

from __future__ import annotations

from argparse import Namespace

from curator_executor.cli.debug import debug_batch
from curator_executor.cli.outcome import exit_code_of_command
from curator_executor.cli.plan import show_plan
from curator_executor.cli.run import run_pipeline
from curator_executor.cli.services import Services
from curator_executor.cli.simulate import simulate_pipeline
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
        "simulate": simulate_pipeline,
        "debug": debug_batch,
    }
    command = commands[options.command]
    return exit_code_of_command(lambda: command(options, services), options)
