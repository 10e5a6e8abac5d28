"""The guards of `tests/unit/conftest.py` hold."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest


def test_network_socket_is_refused() -> None:
    with pytest.raises(AssertionError, match="may not open a network socket"):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def test_socket_of_the_default_family_is_refused() -> None:
    with pytest.raises(AssertionError, match="may not open a network socket"):
        socket.socket()


def test_connection_to_a_host_is_refused() -> None:
    with pytest.raises(AssertionError, match="may not open a network socket"):
        socket.create_connection(("127.0.0.1", 9))


def test_unix_socket_pair_is_allowed() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"


def test_sleep_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"may not sleep \(0\.01 s\)"):
        time.sleep(0.01)


def test_asynchronous_sleep_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"may not sleep \(0\.01 s\)"):
        asyncio.run(asyncio.sleep(0.01))


def test_asynchronous_turn_is_allowed() -> None:
    assert asyncio.run(asyncio.sleep(0, "turned")) == "turned"


def test_ray_cannot_be_started() -> None:
    import ray

    with pytest.raises(AssertionError, match="may not start Ray"):
        ray.init()


def test_ray_cannot_be_started_when_it_was_imported_before() -> None:
    """The test above imports Ray first; then the guard is put in without the import hook."""
    import ray

    with pytest.raises(AssertionError, match="may not start Ray"):
        ray.init(num_cpus=1)
