"""Numbers that ours and theirs share; apart, so that raw actors import nothing of ours."""

from __future__ import annotations

BATCH = 32
FAN_OUT = 10
# Seconds that each of the three stages sleeps for one input.
SLEEPS_S = {"W3": (0.005, 0.05, 0.01), "W3s": (0.05, 0.5, 0.1)}
# The worker counts that bring the most inputs a second through those on 16 cores.
BEST_COUNTS = (2, 11, 3)
