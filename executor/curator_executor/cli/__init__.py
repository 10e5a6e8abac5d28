"""The command `curator`: on this machine, and for pipelines on a cluster."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence

from curator_executor.cli.arguments import parser
from curator_executor.cli.kube.arguments import CLUSTER_COMMANDS

# Exit code and modules are said here again, so that the message needs nothing that is missing.
_REFUSED = 2
_EXECUTOR_EXTRA = frozenset(
    {"aiohttp", "cloudpickle", "fsspec", "jinja2", "prometheus_client", "ray", "rich"}
)


_KUBE_EXTRA = frozenset({"kubernetes", "rich", "urllib3"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code (see `curator --help`).

    Args:
        arguments: what follows `curator`; those of the process if None.
    """
    return main_of(parser(), arguments)


def main_of(parsed_by: ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Run a command of a parser; the exit code.

    Args:
        parsed_by: knows the commands.
        arguments: what follows the program's name; those of the process if None.
    """
    options = parsed_by.parse_args(arguments)
    on_cluster = options.command in CLUSTER_COMMANDS
    extra, needs = (_KUBE_EXTRA, "kube") if on_cluster else (_EXECUTOR_EXTRA, "executor")
    try:
        run = _cluster_command if on_cluster else _command
        work = run(options)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in extra:
            raise
        what = f"`{options.command}`" if on_cluster else "the command line"
        print(
            f"curator: {missing} is not installed; {what} needs the extra {needs}: "
            f"pip install 'curator-operator[{needs}]'",
            file=sys.stderr,
        )
        return _REFUSED
    return work()


def _command(options: Namespace) -> Callable[[], int]:
    from curator_executor.cli.commands import run_command
    from curator_executor.cli.services import Services

    return lambda: run_command(options, Services())


def _cluster_command(options: Namespace) -> Callable[[], int]:
    from curator_executor.cli.kube.commands import run_cluster_command

    return lambda: run_cluster_command(options)
