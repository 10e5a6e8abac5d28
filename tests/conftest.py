"""Settings that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

# The same examples on every machine and every run: a failure that CI finds is found here too. No
# deadline, because a busy machine is not a bug. Fifty examples a property keep the unit tests under
# a minute. To hunt for new ones: `pytest --hypothesis-profile=explore`.
settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    max_examples=50,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", settings.get_profile("steady"), derandomize=False, max_examples=2000
)
settings.load_profile("steady")


def pytest_configure() -> None:
    """Let each of several test processes keep its Ray to itself.

    `ray.init` joins the cluster that was last started under `RAY_TMPDIR`, if there is one.
    """
    process, scratch = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("RAY_TMPDIR")
    if process and scratch:
        own = Path(scratch) / process
        own.mkdir(exist_ok=True)
        os.environ["RAY_TMPDIR"] = str(own)
