"""One real Ray head on the loopback, with token authentication.

Used by the `real_ray_head` fixture: what `ray_heads.py` plays for many clusters is tried here on
Ray itself.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.cluster.asking import ask
from tests.cluster.processes import Program, eventually, free_port

# Ray gives its own parts 30 s and more to start; a busy machine needs it.
READY_WITHIN_S = 90.0
GONE_WITHIN_S = 10.0
OBJECT_STORE_BYTES = 100 * 2**20


class RayHead:
    """The running head; a context manager that ends it and all of its processes.

    Args:
        directory: where its log goes.

    Attributes:
        token: what `Authorization: Bearer` must carry.
        url: of the dashboard, which serves the Jobs API.
    """

    def __init__(self, directory: Path) -> None:
        self.token = secrets.token_hex(32)
        self.url = ""
        self._directory = directory
        self._program: Program | None = None
        # Ray makes Unix sockets below it, whose whole path may have 107 bytes.
        self._files = tempfile.TemporaryDirectory(prefix="rh-", dir="/tmp")

    def __enter__(self) -> Self:
        """Start it and wait until it takes jobs.

        Raises:
            ProgramEnded: it ended; the message has the end of its log.
            TookTooLong: it does not answer in time.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._program = Program(
            "ray-head",
            [sys.executable, "-m", "ray.scripts.scripts", *_arguments(port)],
            self._directory,
            self._environment(),
        )
        try:
            self._program.wait_until(self._takes_jobs, "takes jobs", READY_WITHIN_S)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; once is enough. Asked politely it first waits for work that nobody needs."""
        if self._program and self._program.is_running():
            family = psutil.Process(self._program.pid).children(recursive=True)
            self._program.kill()
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            eventually(
                lambda: not any(map(_is_alive, family)), "Ray's processes end", GONE_WITHIN_S
            )
        self._files.cleanup()

    def ask(self, path: str, body: Any = None) -> tuple[int, str]:
        """Status and text of the answer to a GET, or to a POST where there is a body."""
        return ask(f"{self.url}{path}", self.token, body)

    def _takes_jobs(self) -> bool:
        """Whether it took a job: the dashboard answers some time before its agent is there."""
        try:
            return self.ask("/api/jobs/", {"entrypoint": "true"})[0] == 200
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        ours = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": self._files.name,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        return {**{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}, **ours}


def _arguments(dashboard_port: int) -> list[str]:
    """Of `ray`: a head whose ports are all free ones; it ends with its parent."""
    return [
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        "--port=0",
        f"--dashboard-port={dashboard_port}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-agent-listen-port={free_port()}",
        f"--ray-client-server-port={free_port()}",
        "--num-cpus=1",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
    ]


def _is_alive(process: psutil.Process) -> bool:
    """Whether it still does something; whoever adopted it may not have looked at its end yet."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
