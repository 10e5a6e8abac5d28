"""Options of `curator simulate`. Called by `arguments`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_simulate(
    command: Callable[[str, str], argparse.ArgumentParser],
    add_settings: Callable[[argparse.ArgumentParser], None],
    positive: Callable[[str], int],
    seconds: Callable[[str], float],
) -> None:
    """Add the command.

    Args:
        command: makes a command of this name and summary.
        add_settings: adds the manifest and the options that all commands share.
        positive: reads a whole number above 0.
        seconds: reads seconds.
    """
    made = command("simulate", "show what a cluster would do for a pipeline; start nothing")
    add_settings(made)
    add_cluster(made)
    made.add_argument("--report", type=Path, metavar="FILE", help="draw it, as one HTML page")
    run = made.add_argument_group("a run in virtual time")
    run.add_argument(
        "--inputs", type=positive, metavar="N", help="simulate a run of so many inputs, too"
    )
    run.add_argument("--jitter", type=_share, default=0.1, help="batches vary by (default: 0.1)")
    run.add_argument(
        "--stragglers", type=_share, default=0.0, help="share of batches that take 20 times as long"
    )
    run.add_argument(
        "--worker-life", type=seconds, metavar="S", help="workers die after S seconds in the mean"
    )
    run.add_argument(
        "--lose",
        type=_loss,
        metavar="SHARE@S",
        help="a share of the nodes is gone from second S on",
    )
    run.add_argument(
        "--nodes-every", type=seconds, metavar="S", help="begin with one node, one more every S"
    )
    run.add_argument("--seed", type=int, default=0, help="of what is random (default: 0)")


def add_cluster(made: argparse.ArgumentParser) -> None:
    """Add the options that describe a cluster, and what stages cost on it."""
    cluster = made.add_argument_group("the cluster")
    cluster.add_argument(
        "--nodes",
        action="append",
        default=[],
        metavar="NAME:count=N,cpus=C[,gpus=G][,memory=M][,gpuMemory=M]",
        help="a kind of node; may be given again (default: spec.cluster.workerGroups, all of them)",
    )
    costs = made.add_argument_group("what stages cost")
    costs.add_argument(
        "--measured", metavar="FILE", help="progress of a run: `curator run --progress FILE`"
    )
    for option, what in (
        ("--cost", "seconds of one worker for one task"),
        ("--outputs", "tasks that it emits for one"),
        ("--setup", "seconds from a worker's start until it can work"),
    ):
        costs.add_argument(
            option, action="append", default=[], metavar="STAGE=X", help=f"{what}; again for others"
        )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"wanted a share from 0 to 1, got {text!r}")
    return share


def _loss(text: str) -> tuple[float, float]:
    share, at, when = text.partition("@")
    if not at or not when.replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"wanted SHARE@SECONDS, such as 0.1@600, got {text!r}")
    return _share(share), float(when)
