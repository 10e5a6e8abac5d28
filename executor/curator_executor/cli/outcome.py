"""Exit codes of every command, and the errors that lead to them. Part of the public interface."""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

from curator_api.errors import ManifestError
from curator_executor.cli.logs import start_logging
from curator_executor.core.errors import CuratorError, DoesNotFit, InvalidPipeline

OK = 0
# A stage failed (or set-up did, or workers kept dying) and ended the run.
FAILED = 1
# The command line, the manifest or a check of it is wrong; no worker was started.
REFUSED = 2
# The run went through, but with dead letters.
DEAD_LETTERS = 3
# Ctrl-C or SIGTERM: 128 + 2, as shells have it.
CANCELLED = 130


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        code: exit code.
        message: what was said about it; "" if all went well.
    """

    code: int
    message: str = ""


class CommandError(Exception):
    """What a command ends with; its text is for the user.

    Args:
        message: what is wrong and what to do.
        code: exit code.
    """

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: Exception) -> int:
    """The exit code that an error leads to."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, (ManifestError, InvalidPipeline, DoesNotFit)):
        return REFUSED
    return FAILED


def explain(error: Exception, verbose: bool) -> None:
    """Say on standard error what went wrong: the message, and with `verbose` the traceback.

    Errors that this package does not raise on purpose are named by type and called unexpected.
    """
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, ManifestError):
        count = len(error.problems)
        print(f"curator: {count} problem{'' if count == 1 else 's'}", file=sys.stderr)
        print(error, file=sys.stderr)
    elif isinstance(error, (CommandError, CuratorError, OSError)):
        print(f"curator: {error}", file=sys.stderr)
    else:
        hint = "" if verbose else " (--verbose shows where)"
        said = f"{type(error).__name__}: {error}"
        print(f"curator: unexpected error{hint}: {said}", file=sys.stderr)


def ending_of(work: Callable[[], Ending], verbose: bool) -> Ending:
    """Do the work; an error or a cancellation is said on standard error and becomes an ending.

    Raises:
        BrokenPipeError: nobody reads what is printed; there is no use in saying more.
    """
    try:
        return work()
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as interrupt:
        reason = f" ({interrupt})" if str(interrupt) else ""
        print(f"curator: cancelled{reason}", file=sys.stderr)
        return Ending(CANCELLED, f"cancelled{reason}")
    except Exception as error:  # noqa: BLE001 - said in one message, whatever it is
        explain(error, verbose)
        return Ending(code_of(error), str(error) or type(error).__name__)


def exit_code_of_command(command: Callable[[], int], options: Namespace) -> int:
    """Run a command; its exit code, or that of its error, which is said on standard error.

    Args:
        command: what to run.
        options: the command line, parsed.
    """
    for stream in (sys.stdout, sys.stderr):
        # Where the encoding lacks a sign, a question mark is better than no output.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    start_logging(options.log_level, options.verbose)
    try:
        return ending_of(lambda: Ending(command()), options.verbose).code
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
