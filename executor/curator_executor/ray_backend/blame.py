"""Which stage a worker was in when it died, for batches that run by themselves.

Several stages may share a worker. While a suspect batch runs, the worker notes each stage before it
runs it, in the key-value store of Ray's control service, which outlives the worker.
"""

from __future__ import annotations

from ray.experimental import internal_kv

_NAMESPACE = "curator"


def note(key: str, stage: int) -> None:
    """Called in the worker: the stage that is about to run."""
    internal_kv._internal_kv_put(key, str(stage), overwrite=True, namespace=_NAMESPACE)


def read(key: str) -> int | None:
    """Called in the driver after the worker's death: the stage noted last; clears it."""
    value = internal_kv._internal_kv_get(key, namespace=_NAMESPACE)
    if value is None:
        return None
    internal_kv._internal_kv_del(key, namespace=_NAMESPACE)
    return int(value)
