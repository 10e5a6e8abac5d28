"""Each command for a cluster by name, and what its errors become. Called by `main`."""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable
from types import FrameType

from curator_executor.cli.kube.api import Api, ApiError, connect
from curator_executor.cli.kube.driver_log import print_log
from curator_executor.cli.kube.refusals import explained
from curator_executor.cli.kube.rerunning import rerun_pipeline
from curator_executor.cli.kube.submitting import submit_pipeline
from curator_executor.cli.kube.watching import watch_pipeline
from curator_executor.cli.outcome import exit_code_of_command

_COMMANDS: dict[str, tuple[Callable[[Namespace, Api], int], str]] = {
    "submit": (submit_pipeline, "create the pipeline"),
    "watch": (watch_pipeline, "watch the pipeline"),
    "logs": (print_log, "read the driver's log"),
    "rerun": (rerun_pipeline, "run the pipeline again"),
}


def run_cluster_command(
    options: Namespace, connected: Callable[[str | None, str | None], Api] = connect
) -> int:
    """Run a command; the exit code.

    Args:
        options: the command line, parsed.
        connected: finds the API server; tests hand in another one.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return exit_code_of_command(lambda: _run(options, connected), options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(options: Namespace, connected: Callable[[str | None, str | None], Api]) -> int:
    command, doing = _COMMANDS[options.command]
    api = connected(options.kubeconfig, options.context)
    try:
        return command(options, api)
    except ApiError as error:
        raise explained(error, doing, api.place) from error
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("the pipeline is not touched") from interrupt


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
