"""The command line: its commands, their options and what `--help` says."""

from __future__ import annotations

import argparse
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

from curator_executor.cli.kube.arguments import CLUSTER_EXIT_CODES, add_cluster_commands
from curator_executor.cli.simulate_arguments import add_cluster, add_simulate

EXIT_CODES = """\
exit codes:
  0    done
  1    a stage failed and ended the run
  2    the command line, the manifest or a check is wrong; nothing was started
  3    the run went through, but batches were given up on (dead letters)
  130  cancelled
"""
# How long the result of a run is served unless it is fetched; the operator looks every 6.5 s.
LINGER_S = 20.0
MOST_PORT = 65_535
MOST_SECONDS = 86_400.0
LOG_LEVELS = ("debug", "info", "warning", "error")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = _top("curator", "Run multi-stage data-curation pipelines.", EXIT_CODES)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_validate(commands)
    _add_plan(commands)
    add_simulate(partial(_command, commands), _add_settings, _positive, _seconds)
    _add_debug(commands)
    add_cluster_commands(partial(_command, commands, epilog=CLUSTER_EXIT_CODES), _positive)
    return top


def cluster_parser() -> argparse.ArgumentParser:
    """The parser of `kubectl curator`: the commands for a cluster alone."""
    top = _top("kubectl curator", "Run data-curation pipelines on Kubernetes.", CLUSTER_EXIT_CODES)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_cluster_commands(partial(_command, commands, epilog=CLUSTER_EXIT_CODES), _positive)
    return top


def _top(program: str, description: str, epilog: str) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"curator {product_version()}")
    top.set_defaults(program=program)
    return top


def product_version() -> str:
    """The installed version, or `unknown` in a source tree that is not installed."""
    try:
        return version("curator-operator")
    except PackageNotFoundError:
        return "unknown"


# Generic for type checkers alone, so it is named in a string.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(
    commands: Commands, name: str, summary: str, epilog: str = EXIT_CODES
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument(
        "--verbose", action="store_true", help="show tracebacks, and log from level debug"
    )
    command.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="info",
        help="least important log lines to show (default: info)",
    )
    return command


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("manifest", metavar="MANIFEST", help="the pipeline, a YAML file")
    command.add_argument(
        "--until", metavar="STAGE", help="stop after this stage; `run` shows some of its outputs"
    )
    command.add_argument(
        "--mode",
        choices=("streaming", "batch"),
        help="in place of spec.execution.mode",
    )
    command.add_argument("--no-fusion", action="store_true", help="a worker for each stage alone")
    command.add_argument(
        "--ignore-failures",
        action="store_true",
        help="go on when a batch fails; it becomes a dead letter",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any field of spec.execution, e.g. --set maxWorkersPerStage=2; may be given again",
    )
    command.add_argument(
        "--limit",
        type=_positive,
        metavar="N",
        help="read at most N documents (or items of another kind): try the pipeline on little",
    )


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number of at least 1, got {text!r}")
    return number


def _address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, with an IPv6 address in brackets."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > MOST_PORT:
        raise argparse.ArgumentTypeError(
            f"wanted HOST:PORT with a port from 0 to {MOST_PORT}, such as 127.0.0.1:8090, "
            f"got {text!r}"
        )
    return host, int(port)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"wanted seconds, 0 or more, got {text!r}")
    return seconds


def _add_run(commands: Commands) -> None:
    command = _command(commands, "run", "run a pipeline on this machine or on RAY_ADDRESS")
    _add_settings(command)
    command.add_argument("--report", metavar="FILE", help="write an HTML page about the run")
    command.add_argument(
        "--progress", metavar="FILE", help="write each progress snapshot as a line of JSON"
    )
    command.add_argument(
        "--serve",
        type=_address,
        metavar="HOST:PORT",
        help="answer /progress, /metrics, /healthz and /drain over HTTP; port 0 takes a free one",
    )
    command.add_argument(
        "--linger",
        type=_seconds,
        metavar="S",
        help="with --serve: seconds to go on serving the result, unless it was fetched before "
        f"(default: {LINGER_S:g})",
    )


def _add_validate(commands: Commands) -> None:
    command = _command(commands, "validate", "say everything that is wrong with manifests")
    command.add_argument("manifests", metavar="MANIFEST", nargs="+", help="a YAML file")
    command.add_argument(
        "--fields-only",
        action="store_true",
        help="check the file alone: import no stages and run no checks of theirs",
    )


def _add_plan(commands: Commands) -> None:
    command = _command(commands, "plan", "show what would run here and why; start nothing")
    _add_settings(command)
    add_cluster(command)


def _add_debug(commands: Commands) -> None:
    command = _command(commands, "debug", "run a failed batch again, in this process, without Ray")
    command.add_argument("manifest", metavar="MANIFEST", help="the pipeline, a YAML file")
    command.add_argument("failed", metavar="FILE", help="the batch: .curator/RUN/failed/N.pkl")
    command.add_argument(
        "--pdb", action="store_true", help="open the debugger where the stage raises"
    )
