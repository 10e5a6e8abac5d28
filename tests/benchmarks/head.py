"""A Ray node of its own for the contestants of one run, and the handle that owns it.

`run` opens one `RayHead` for each object-store size; all contestants connect to it, one after
the other. The node lives in a child process and ends when that process's stdin closes, so that it
never outlives the run, however that ends.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOGICAL_CPUS = 8
# Ray gives a node 30 s to come up, which a busy machine may need more than once.
STARTS = 3
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class HeadAddress:
    """How to reach a node and whom to watch.

    Attributes:
        address: what `ray.init` connects to.
        node_manager: host and port of the raylet.
        raylet: its pid.
        gcs: pid of the control store.
        store_bytes: capacity of the object store.
    """

    address: str
    node_manager: str
    raylet: int
    gcs: int
    store_bytes: int


def run_environment() -> dict[str, str]:
    """An environment for every process of a run.

    Workers find the stages by module name. The node asks for a token, as Ray does by default; it
    is made for this run alone, so that no other node's is read or replaced.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "executor"), str(ROOT / "crds")]
    )
    environment.pop("RAY_ADDRESS", None)
    environment["RAY_AUTH_MODE"] = "token"
    environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    environment["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    return environment


class RayHead:
    """A running node: `with RayHead(...) as address`.

    Args:
        store_bytes: capacity of the object store.
        cpus: logical cores.
        environment: what `run_environment` gave.
    """

    def __init__(self, store_bytes: int, cpus: int, environment: dict[str, str]) -> None:
        self.store_bytes = store_bytes
        self._cpus = cpus
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> HeadAddress:
        for attempt in range(1, STARTS + 1):
            address = self._start()
            if address:
                return address
            self._stop()
            print(f"Ray did not start ({attempt} of {STARTS} attempts)", file=sys.stderr)
        raise RuntimeError(f"Ray did not start in {STARTS} attempts")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> HeadAddress | None:
        # Short, because Ray puts sockets below it and their paths may have 107 characters.
        self._directory = tempfile.TemporaryDirectory(prefix="cb", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.benchmarks.head",
                str(self.store_bytes),
                str(self._cpus),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**self._environment, "RAY_TMPDIR": self._directory.name},
        )
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                return HeadAddress(**json.loads(line))
        return None

    def _stop(self) -> None:
        assert self._process
        assert self._process.stdin
        assert self._directory
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._directory.cleanup()


def _pid_of(children: list[Any], program: str) -> int:
    for child in children:
        if Path(child.cmdline()[0]).name == program:
            return int(child.pid)
    raise RuntimeError(f"no {program} among the processes of this node")


def main() -> None:
    """Start a node, print where it is, and stop it when stdin closes."""
    import psutil
    import ray

    store_bytes, cpus = (int(each) for each in sys.argv[1:])
    context: Any = ray.init(
        num_cpus=cpus,
        object_store_memory=store_bytes,
        include_dashboard=False,
        log_to_driver=False,
    )
    node = ray.nodes()[0]
    children = psutil.Process().children()
    where = HeadAddress(
        context.address_info["address"],
        f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}",
        _pid_of(children, "raylet"),
        _pid_of(children, "gcs_server"),
        store_bytes,
    )
    print(json.dumps(asdict(where)), flush=True)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
