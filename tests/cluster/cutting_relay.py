"""`CuttingRelay`: bytes to the API server and back, until a test cuts every connection.

Used by the tests of what follows a stream. TLS passes through, so that the certificate, which is
for the loopback, stays right.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import yaml


class CuttingRelay:
    """The relay; a context manager.

    Args:
        kubeconfig: of the API server behind it.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._config = yaml.safe_load(kubeconfig.read_text())
        at = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        self._behind = (str(at.hostname), int(at.port or 443))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self.connections = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self.cut()

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig with the same rights that leads here."""
        port = self._listener.getsockname()[1]
        cluster = {**self._config["clusters"][0]["cluster"], "server": f"https://127.0.0.1:{port}"}
        named = {**self._config["clusters"][0], "cluster": cluster}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({**self._config, "clusters": [named]}))
        return path

    def cut(self) -> None:
        """End every connection that there is; new ones are taken."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            _shut(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._behind)
            with self._lock:
                self._ends += [near, far]
                self.connections += 1
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(64 * 1024):
            target.sendall(data)
    except OSError:
        pass
    _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
