"""`curator run --serve` in a process of its own, and a client for what it serves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.integration.scripts import ROOT, family

# A run begins by starting Ray or its workers, which takes long on a busy machine.
COMES_WITHIN_S = 150.0
# A shell that starts these tests in the background has Ctrl-C ignored, and that is passed on.
PROGRAM = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from curator_executor.cli import main
sys.exit(main())
"""


class Served:
    """A running command and its endpoint.

    Attributes:
        process: the command.
        url: `http://host:port`.
    """

    def __init__(self, process: subprocess.Popen[str], stderr: Path) -> None:
        self.process = process
        self._stderr = stderr
        self.url = ""

    def ask(
        self, path: str, method: str = "GET", token: str = "", header: str = "Authorization"
    ) -> tuple[int, str]:
        """Status and body."""
        headers = {header: f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=COMES_WITHIN_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def progress(self, token: str = "") -> dict[str, Any]:
        """The snapshot, or an empty one before there is one."""
        status, body = self.ask("/progress", token=token)
        found: dict[str, Any] = json.loads(body) if status == 200 else {}
        return found

    def wait_for(self, wanted: Callable[[dict[str, Any]], object], token: str = "") -> Any:
        """The first snapshot that is wanted."""
        return waited(lambda: next((p for p in [self.progress(token)] if p and wanted(p)), None))

    def stderr(self) -> str:
        """What it has said on standard error."""
        return self._stderr.read_text()

    def ended(self) -> int:
        """Its exit code, when it has ended."""
        return self.process.wait(COMES_WITHIN_S)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> float:
        """Signal the whole group, as a terminal does; the clock then."""
        os.killpg(self.process.pid, number)
        return time.monotonic()


def waited(find: Callable[[], Any]) -> Any:
    """What `find` gives as soon as it gives something."""
    deadline = time.monotonic() + COMES_WITHIN_S
    while not (found := find()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return found


@contextmanager
def serving(directory: Path, *options: str, **environment: str) -> Iterator[Served]:
    """`curator run pipeline.yaml --serve 127.0.0.1:0` in a directory; ended afterwards."""
    stderr = directory / "stderr"
    leave = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    variables = {key: value for key, value in os.environ.items() if key not in leave}
    variables["PYTHONPATH"] = str(ROOT)
    command = ("run", "pipeline.yaml", "--serve", "127.0.0.1:0")
    with stderr.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *command, *options],
            cwd=directory,
            env={**variables, "NO_COLOR": "1", **environment},
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    served = Served(process, stderr)
    try:
        found = waited(lambda: re.search(r"serving: (http://[^/]+)/progress", served.stderr()))
        served.url = found[1]
        yield served
    finally:
        for each in family(process.pid):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.kill()
        process.wait()
