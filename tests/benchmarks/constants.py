"""Numbers that ours and theirs share; apart, so that raw actors import nothing of ours."""

from __future__ import annotations

BATCH = 32
FAN_OUT = 10
