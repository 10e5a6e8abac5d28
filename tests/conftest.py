"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples on every machine and every run: a failure that CI finds is found here too. No
# deadline, because a busy machine is not a bug. To hunt for new examples:
# `pytest --hypothesis-profile=explore`.
settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", settings.get_profile("steady"), derandomize=False, max_examples=2000
)
settings.load_profile("steady")
