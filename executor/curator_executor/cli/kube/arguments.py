"""The commands for a cluster on the command line, and what their `--help` says.

Called by `cli.arguments`; imports nothing that an extra brings, as `curator --help` must be quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

CLUSTER_COMMANDS = ("submit", "watch", "logs", "rerun")
CLUSTER_EXIT_CODES = """\
exit codes:
  0    done; of a pipeline that was waited for: it succeeded
  1    the pipeline failed or was deleted, or the API server gave no answer
  2    the command line, the manifest or a right is wrong, or there is no such pipeline
  3    the pipeline succeeded, but batches were given up on (dead letters)
  130  stopped with Ctrl-C or SIGTERM; the pipeline goes on
"""


class MakeCommand(Protocol):
    """Adds a command with the options that all have."""

    def __call__(self, name: str, summary: str) -> argparse.ArgumentParser:
        """The parser of the command."""
        ...


def add_cluster_commands(add: MakeCommand, whole_number: Callable[[str], int]) -> None:
    """Add `submit`, `watch`, `logs` and `rerun`.

    Args:
        add: makes a command.
        whole_number: reads a number of at least 1.
    """
    _add_submit(add("submit", "run a pipeline on Kubernetes"))
    _add_watch(add("watch", "show how far a pipeline on Kubernetes is, until it ends"))
    _add_logs(add("logs", "print what a pipeline's driver says"), whole_number)
    _add_rerun(add("rerun", "run a pipeline that has ended once more, under another name"))


def _add_submit(command: argparse.ArgumentParser) -> None:
    command.add_argument("manifest", metavar="MANIFEST", help="the pipeline, a YAML file")
    _add_place(command)
    command.add_argument(
        "--code",
        metavar="FOLDER",
        help="take the Python code in this folder along, for what is not in the image",
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="delete a pipeline of that name first, if it has ended",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="ask the API server whether it would take the pipeline; make nothing",
    )
    _add_patience(command)


def _add_watch(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the pipeline")
    _add_place(command)


def _add_logs(command: argparse.ArgumentParser, whole_number: Callable[[str], int]) -> None:
    command.add_argument("name", metavar="NAME", help="the pipeline")
    _add_place(command)
    command.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="wait for the head pod, and go on as more is said, until the pod goes",
    )
    command.add_argument(
        "--tail", type=whole_number, metavar="N", help="begin with the last N lines"
    )
    command.add_argument(
        "--attempt", type=whole_number, metavar="N", help="of this attempt (default: the last)"
    )


def _add_rerun(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the pipeline that has ended")
    _add_place(command)
    command.add_argument(
        "--name",
        dest="new_name",
        metavar="NEW",
        help="name of the new one (default: NAME with the next free number behind it)",
    )
    _add_patience(command)


def _add_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        help="default: that of the manifest, then that of the context",
    )
    command.add_argument(
        "--context", metavar="CONTEXT", help="of the kubeconfig (default: its current one)"
    )
    command.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="default: the files in KUBECONFIG, then ~/.kube/config, then the pod's own account",
    )


def _add_patience(command: argparse.ArgumentParser) -> None:
    waiting = command.add_mutually_exclusive_group()
    waiting.add_argument(
        "--watch", action="store_true", help="then show how far it is, until it ends"
    )
    waiting.add_argument(
        "--wait", action="store_true", help="then wait until it ends, and say how it did"
    )
