"""Guards of the unit tests: whatever reaches for the world outside fails, saying so.

Unix sockets stay allowed, because asyncio wakes its own loop through a pair of them.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import socket
import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

import pytest


class ReachedOutsideError(AssertionError):
    """A unit test opened a socket, slept or started Ray."""


def refuse(what: str, instead: str) -> NoReturn:
    """Fail the test, saying what it did and what to do instead."""
    raise ReachedOutsideError(f"a unit test may not {what}; {instead}")


def _refuse_ray_init(*_args: Any, **_options: Any) -> NoReturn:
    refuse("start Ray", "use the simulation, or move the test to tests/integration")


def _refuse_sleep(seconds: float) -> NoReturn:
    refuse(f"sleep ({seconds} s)", "pass the time as an argument, or wait on an event")


class _RayGuard(importlib.abc.MetaPathFinder):
    """Puts the guard into `ray` when a test is the first to import it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "ray":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        run_module = spec.loader.exec_module

        def run_and_guard(module: ModuleType) -> None:
            run_module(module)
            self.monkeypatch.setattr(module, "init", _refuse_ray_init)

        spec.loader.exec_module = run_and_guard  # type: ignore[method-assign]
        return spec


@pytest.fixture(autouse=True)
def no_world_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse network sockets, sleeping and `ray.init` for the length of a test."""
    make_socket = socket.socket.__init__
    sleep_a_turn = asyncio.sleep

    def guarded_socket(
        self: socket.socket,
        family: int = -1,
        type: int = -1,  # noqa: A002  the name that callers of socket.socket use
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        # A file number means a socket that exists already.
        if fileno is None and family != socket.AF_UNIX:
            refuse("open a network socket", "hand the code a fake, or move the test")
        make_socket(self, family, type, proto, fileno)

    async def guarded_sleep(delay: float, result: Any = None) -> Any:
        if delay > 0:
            _refuse_sleep(delay)
        return await sleep_a_turn(0, result)

    monkeypatch.setattr(socket.socket, "__init__", guarded_socket)
    monkeypatch.setattr(time, "sleep", _refuse_sleep)
    monkeypatch.setattr(asyncio, "sleep", guarded_sleep)
    if "ray" in sys.modules:
        monkeypatch.setattr(sys.modules["ray"], "init", _refuse_ray_init)
    else:
        monkeypatch.setattr(sys, "meta_path", [_RayGuard(monkeypatch), *sys.meta_path])
