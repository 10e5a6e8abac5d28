"""About how many bytes tasks take, from a look at them. Called by the writer and before a run."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle

# What estimates start from: the fixed attributes of a task, measured on small ones.
TASK_BYTES = 96
# Kinds of payload whose size is known from their class.
FIXED_BYTES = dict.fromkeys((int, float, bool, type(None)), 16)


def estimate_bytes(data: Any, depth: int = 2) -> int:
    """About how many bytes a payload pickles to; cheap, and never far too small.

    Containers are sampled. An object of an unknown kind is pickled to find out.
    """
    kind = type(data)
    if kind is int or kind is float or kind is bool or data is None:
        return 16
    if kind is str or kind is bytes or kind is bytearray:
        return len(data) + 32
    nbytes = getattr(data, "nbytes", None)
    if type(nbytes) is int:
        return nbytes + 256
    usage = getattr(data, "memory_usage", None)
    if callable(usage):
        return int(usage(index=False).sum()) + 1024
    if kind in (list, tuple, set, frozenset) and depth:
        return _sampled(list(data), depth)
    if kind is dict and depth:
        return _sampled(list(data.keys()), depth) + _sampled(list(data.values()), depth)
    return _pickled(data)


def _sampled(values: list[Any], depth: int) -> int:
    if not values:
        return 8
    step = max(1, len(values) // 16)
    sample = values[::step]
    return int(sum(estimate_bytes(v, depth - 1) for v in sample) / len(sample) * len(values)) + 8


def _pickled(data: Any) -> int:
    buffers: list[pickle.PickleBuffer] = []
    header = cloudpickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    return len(header) + sum(buffer.raw().nbytes for buffer in buffers)
