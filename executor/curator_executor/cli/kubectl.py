"""`kubectl curator …`: the commands for a cluster as a plugin of kubectl.

kubectl runs the program `kubectl-curator` that is on its path.
"""

from __future__ import annotations

from curator_executor.cli import main_of
from curator_executor.cli.arguments import cluster_parser


def main() -> int:
    """Run a command; the exit code (see `kubectl curator --help`)."""
    return main_of(cluster_parser(), None)
