"""The command `curator`: `run`, `validate`, `plan` and `debug`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from curator_executor.cli.arguments import parser

# Exit code and modules are said here again, so that the message needs nothing that is missing.
_REFUSED = 2
_EXECUTOR_EXTRA = frozenset(
    {"aiohttp", "cloudpickle", "fsspec", "jinja2", "prometheus_client", "ray", "rich"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code (see `curator --help`).

    Args:
        arguments: what follows `curator`; those of the process if None.
    """
    options = parser().parse_args(arguments)
    try:
        from curator_executor.cli.commands import run_command
        from curator_executor.cli.services import Services
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXECUTOR_EXTRA:
            raise
        print(
            f"curator: {missing} is not installed; the command line needs the executor: "
            "pip install 'curator-operator[executor]'",
            file=sys.stderr,
        )
        return _REFUSED
    return run_command(options, Services())
