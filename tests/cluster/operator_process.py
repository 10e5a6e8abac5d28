"""The operator as a process of its own, as it runs in its pod: environment, signals, log, HTTP.

Used by the `operator_process` fixture.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.processes import Program, free_port

# Imports included; a busy machine takes long for them.
READY_WITHIN_S = 60.0
ANSWER_WITHIN_S = 5.0


class OperatorProcess:
    """One operator, which may be killed and started again.

    Args:
        kubeconfig: whose rights it has.
        directory: where its log goes.
        settings: its environment variables `CURATOR_*`.

    Attributes:
        url: of its health checks and metrics.
    """

    def __init__(self, kubeconfig: Path, directory: Path, settings: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._directory = directory
        others = {key: value for key, value in os.environ.items() if not key.startswith("CURATOR_")}
        self._environment = {
            **others,
            "KUBECONFIG": str(kubeconfig),
            "CURATOR_HTTP_PORT": str(port),
            **settings,
        }
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The process.

        Raises:
            AssertionError: it was never started.
        """
        assert self._program, "the operator was not started"
        return self._program

    def start(self) -> None:
        """Start it and wait until it is ready; its log goes on in the same file.

        Raises:
            ProgramEnded: it ended; the message has the end of its log.
            TookTooLong: it is not ready in time.
        """
        self.start_without_waiting()
        self.wait_until_ready()

    def start_without_waiting(self) -> None:
        """Start it."""
        self._program = Program(
            "operator",
            [sys.executable, "-m", "curator_operator"],
            self._directory,
            self._environment,
        )

    def wait_until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Wait until `/readyz` answers 200.

        Raises:
            ProgramEnded: it ended; the message has the end of its log.
            TookTooLong: it is not ready in time.
        """
        self.program.wait_until(self.is_ready, "ready", within_s)

    def is_ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        try:
            self.get("/readyz")
        except OSError:
            return False
        return True

    def get(self, path: str) -> str:
        """What its HTTP port answers.

        Raises:
            OSError: nobody answers, or with an error status.
        """
        with urllib.request.urlopen(f"{self.url}{path}", timeout=ANSWER_WITHIN_S) as answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        """SIGKILL: it finishes nothing that it has begun."""
        self.program.kill()

    def restart(self) -> None:
        """SIGKILL and start again, ready when this returns."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """SIGTERM, as Kubernetes does it; once is enough. Returns its exit status."""
        return self.program.stop()

    def log_text(self) -> str:
        """All that it has logged since its first start."""
        return self.program.log_text()

    def log_events(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON, in order."""
        whole, _, _unfinished = self.log_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def rss_bytes(self) -> int:
        """Memory that it has in RAM now."""
        return int(psutil.Process(self.program.pid).memory_info().rss)
