"""`curator run --serve`: open the HTTP endpoint before work starts, serve the result at its end."""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curator_api.progress import ProgressSnapshot
from curator_executor.cli.arguments import LINGER_S
from curator_executor.cli.outcome import CommandError
from curator_executor.runtime.stop import StopRequest

if TYPE_CHECKING:
    from curator_executor.sinks.http import ProgressServer

# What KubeRay gives the pods of a cluster with token authentication.
TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the variable's name
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - the variable's name
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@contextmanager
def serving(options: Namespace, stop: StopRequest) -> Iterator[ProgressServer | None]:
    """The endpoint that was asked for, or None if none was; closed at the end.

    Raises:
        CommandError: the address cannot be listened on, or the token cannot be read.
    """
    if options.serve is None:
        if options.linger is not None:
            raise CommandError("--linger needs --serve HOST:PORT: nothing would be served")
        yield None
        return
    # Here, because no other command should wait for the server's library to be loaded.
    from curator_executor.sinks.http import ProgressServer

    host, port = options.serve
    token = read_token(os.environ)
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    server = ProgressServer(listener, token, stop.drain)
    try:
        server.start()
        shown = f"[{host}]" if ":" in host else host
        print(f"serving: http://{shown}:{port}/progress", file=sys.stderr)
        if token is None and host not in _LOOPBACK:
            print(
                f"note: whoever reaches port {port} can read the progress and end the run; "
                f"{TOKEN} or {TOKEN_PATH} sets a token to ask for",
                file=sys.stderr,
            )
        yield server
    finally:
        server.stop()


def linger(server: ProgressServer, final: ProgressSnapshot, options: Namespace) -> None:
    """Serve the final snapshot until it was fetched, the time is over or Ctrl-C is pressed."""
    seconds = LINGER_S if options.linger is None else options.linger
    if seconds:
        print(
            f"serving the result until it is fetched, at most {seconds:g} s (--linger)",
            file=sys.stderr,
        )
    try:
        server.finish(final, seconds)
    except KeyboardInterrupt:
        print("curator: the result is served no longer", file=sys.stderr)


def read_token(environment: Mapping[str, str]) -> str | None:
    """The token that requests must carry, or None if there is none to ask for.

    Args:
        environment: variables of the process.

    Raises:
        CommandError: the file with it cannot be read or is empty. Serving without a check would
            not be what was asked for.
    """
    token = environment.get(TOKEN, "").strip()
    if token:
        return token
    path = environment.get(TOKEN_PATH, "")
    if not path:
        return None
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{TOKEN_PATH}: {path} cannot be read as a token: {error}") from error
    if not token:
        raise CommandError(f"{TOKEN_PATH}: {path} is empty; it should hold the cluster's token")
    return token


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise CommandError(
            f"--serve {host}:{port}: cannot listen there: {error.strerror or error}. "
            "Choose another port (0 takes a free one), or end the process that has it"
        ) from error
