"""What one worker of a stage needs from its node."""

from __future__ import annotations

from dataclasses import dataclass

# A smaller fraction would round to 0 and the worker would be taken for a CPU-only one.
MIN_GPU_FRACTION = 0.1
# What NeMo Curator assumes where no GPU can be asked. Workers get the share that it is of a GPU on
# their own node, where its memory is known.
ASSUMED_GPU_MEMORY_GB = 24.0


@dataclass
class Resources:
    """Resources of one worker.

    Attributes:
        cpus: CPU cores; may be a fraction or 0.
        gpu_memory_gb: GPU memory in GB (2^30 bytes) on a single device; sets `gpus` to the share
            that counts where the memory of GPUs is not known.
        gpus: GPUs; below 1 a share of one device, else whole devices.
        memory: main memory in bytes; 0 asks for none.

    Raises:
        ValueError: a negative value, both GPU fields, or a fraction above 1.
    """

    cpus: float = 1.0
    gpu_memory_gb: float = 0.0
    gpus: float = 0.0
    memory: int = 0

    def __post_init__(self) -> None:
        for name in ("cpus", "gpu_memory_gb", "gpus", "memory"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
                raise ValueError(f"Resources.{name} must be a number >= 0, got {value!r}")
        if self.gpus > 0 and self.gpu_memory_gb > 0:
            raise ValueError(
                "Resources: gpus and gpu_memory_gb are both set; use gpu_memory_gb for a share of "
                "one GPU, gpus for whole GPUs or an explicit share"
            )
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(
                f"Resources.gpus above 1 must be whole, got {self.gpus}; a share lives on one GPU"
            )
        if self.gpu_memory_gb > 0:
            # At most one device, however large the devices here turn out to be.
            share = min(1.0, self.gpu_memory_gb / ASSUMED_GPU_MEMORY_GB)
            self.gpus = max(MIN_GPU_FRACTION, round(share, 1))

    @property
    def requires_gpu(self) -> bool:
        """Whether a worker needs any GPU."""
        return self.gpus > 0 or self.gpu_memory_gb > 0
