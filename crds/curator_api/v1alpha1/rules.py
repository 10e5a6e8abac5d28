"""What one field must be in view of another: the rules that types cannot say.

Called by the models' validators. Each rule yields every breach it finds, with a path relative
to the model; `load` puts the rest of the path in front. Rules look at the manifest alone, never
at the user's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from curator_api.errors import did_you_mean, join_path, shown
from curator_api.quantities import QuantityError, parse_millicores
from curator_api.v1alpha1.names import MOST_STAGES_AND_PARTS

if TYPE_CHECKING:
    from curator_api.v1alpha1.cluster import ClusterSpec, WorkerGroup
    from curator_api.v1alpha1.resource import PipelineSpec
    from curator_api.v1alpha1.stages import StageOptions, StageResources, WorkerRange

RULE_ERROR = "manifest_rule"
FROM_ENV = "fromEnv"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Breach:
    """A broken rule.

    Attributes:
        loc: the field, from the model on, in wire names.
        message: what was wanted and what was got.
        hint: what to do.
        label: name of the stage if `loc` is one.
    """

    loc: Loc
    message: str
    hint: str = ""
    label: str = ""

    def __str__(self) -> str:
        where = join_path(self.loc) + (f' "{self.label}"' if self.label else "")
        said = f"{where}: {self.message}" if where else self.message
        return f"{said}. {self.hint}" if self.hint else said


def raise_broken(breaches: Iterable[Breach]) -> None:
    """Tell pydantic of all breaches in one error; nothing if there are none."""
    found = list(breaches)
    if found:
        raise PydanticCustomError(
            RULE_ERROR, "{said}", {"said": "; ".join(map(str, found)), "breaches": found}
        )


def cpus_as_number(value: object) -> object:
    """Refuse `"500m"` with the number that it stands for."""
    if isinstance(value, str):
        try:
            cores = parse_millicores(value) / 1000
        except QuantityError:
            return value
        raise PydanticCustomError(
            "cpus",
            "wanted a number of CPU cores, got {got}; write {cores}",
            {"got": shown(value), "cores": f"{cores:g}"},
        )
    return value


def args_rules(args: Any, loc: Loc = ("args",)) -> Iterator[Breach]:
    """`{fromEnv: NAME}` stands alone and names a variable."""
    if isinstance(args, dict):
        if FROM_ENV in args and len(loc) > 1:
            name = args[FROM_ENV]
            if len(args) > 1:
                others = ", ".join(str(key) for key in args if key != FROM_ENV)
                yield Breach(loc, f"{FROM_ENV} stands alone in its mapping, got {others} beside it")
            elif not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                yield Breach(
                    (*loc, FROM_ENV),
                    f"wanted the name of an environment variable, got {shown(name)}",
                )
            return
        for key, value in args.items():
            yield from args_rules(value, (*loc, key))
    elif isinstance(args, list):
        for position, value in enumerate(args):
            yield from args_rules(value, (*loc, position))


def gpu_rules(resources: StageResources) -> Iterator[Breach]:
    """One way of asking for GPUs, and whole ones above 1."""
    gpus = resources.gpus
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        yield Breach(
            ("gpus",),
            f"wanted a whole number above 1 or a share below 1, got {gpus:g}",
            "A share lives on one GPU",
        )
    if gpus and resources.gpu_memory is not None:
        yield Breach(
            ("gpuMemory",),
            "gpus and gpuMemory are both given",
            "Keep gpuMemory for a share of one GPU, or gpus for whole ones or an explicit share",
        )


def worker_range_rules(workers: WorkerRange) -> Iterator[Breach]:
    """Order of min and max; count alone."""
    low, high = workers.min, workers.max
    if workers.count is not None and (low is not None or high is not None):
        yield Breach(
            ("count",),
            "count fixes the number of workers, so min and max have no place beside it",
        )
    elif low is not None and high is not None and low > high:
        yield Breach(("min",), f"wanted at most max, which is {high}, got {low}")


def replica_rules(group: WorkerGroup) -> Iterator[Breach]:
    """Order of minReplicas and maxReplicas."""
    if group.min_replicas > group.max_replicas:
        yield Breach(
            ("minReplicas",),
            f"wanted at most maxReplicas, which is {group.max_replicas}, got {group.min_replicas}",
        )


def cluster_rules(cluster: ClusterSpec) -> Iterator[Breach]:
    """`existing` alone, else at least one worker group; names unique; mounts have a volume."""
    if cluster.existing is not None:
        for name, info in type(cluster).model_fields.items():
            # By value: the API server fills defaults in, which say nothing.
            if name == "existing" or getattr(cluster, name) == info.get_default(
                call_default_factory=True, validated_data={}
            ):
                continue
            yield Breach(
                (wire_name(cluster, name),),
                "cannot be given with existing",
                "An existing cluster is used as it is",
            )
        return
    if not cluster.worker_groups:
        yield Breach(
            ("workerGroups",),
            "wanted at least one worker group, got none",
            "The head runs no stages; give a worker group, or existing",
        )
    yield from _repeated(("workerGroups",), [group.name for group in cluster.worker_groups])
    volumes = [str(volume["name"]) for volume in cluster.volumes]
    yield from _repeated(("volumes",), volumes)
    for position, mount in enumerate(cluster.volume_mounts):
        if mount.name not in volumes and not cluster.pod_template:
            yield Breach(
                ("volumeMounts", position, "name"),
                f"wanted one of the volumes ({', '.join(volumes) or 'none'}), got "
                f"{shown(mount.name)}",
                did_you_mean(mount.name, volumes),
            )


def pipeline_rules(spec: PipelineSpec) -> Iterator[Breach]:
    """Everything that concerns more than one part of the spec."""
    if (spec.stages is None) == (spec.builder is None):
        got = "neither" if spec.stages is None else "both"
        yield Breach((), f"wanted exactly one of stages and builder, got {got}")
    stages = spec.stages or []
    yield from _repeated(("stages",), [stage.name for stage in stages])
    together = sum(1 + len(stage.parts) for stage in stages)
    if together > MOST_STAGES_AND_PARTS:
        yield Breach(
            ("stages",),
            f"wanted at most {MOST_STAGES_AND_PARTS} stages and parts together, got {together}",
        )
    for position, stage in enumerate(stages):
        loc: Loc = ("stages", position)
        yield from _option_rules(spec, stage, loc, stage.name)
        for part, options in stage.parts.items():
            yield from _option_rules(spec, options, (*loc, "parts", part), "")
    yield from _location_rules(spec)


def _repeated(loc: Loc, names: Sequence[str]) -> Iterator[Breach]:
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in first:
            yield Breach(
                (*loc, position, "name"),
                f"{shown(name)} is the name of {join_path((*loc, first[name]))} too; "
                "names must be unique",
            )
        first.setdefault(name, position)


def _option_rules(
    spec: PipelineSpec, options: StageOptions, loc: Loc, label: str
) -> Iterator[Breach]:
    most = spec.execution.max_workers_per_stage
    workers = options.workers
    for field in ("min", "count"):
        wanted = getattr(workers, field, None)
        if most is not None and wanted is not None and wanted > most:
            yield Breach(
                (*loc, "workers", field),
                f"wanted at most execution.maxWorkersPerStage, which is {most}, got {wanted}",
            )
    cluster = spec.cluster
    if cluster is None or cluster.existing is not None:
        return
    names = [group.name for group in cluster.worker_groups]
    unknown = False
    for position, name in enumerate(options.worker_groups):
        if name not in names:
            unknown = True
            yield Breach(
                (*loc, "workerGroups", position),
                f"wanted one of spec.cluster.workerGroups ({', '.join(names)}), got {shown(name)}",
                did_you_mean(name, names),
            )
    if options.resources is not None and not unknown:
        groups = [
            group
            for group in cluster.worker_groups
            if not options.worker_groups or group.name in options.worker_groups
        ]
        yield from _fit_rules(options.resources, groups, loc, label)


# What is compared: wire name, words, what a stage needs, what a group offers (None: unknown).
_DIMENSIONS = (
    ("cpus", "CPUs", "resources.cpus"),
    ("memory", "bytes of memory", "resources.memory"),
    ("gpus", "GPUs", "accelerator.count"),
    ("gpuMemory", "bytes of memory on one GPU", "accelerator.memory"),
)


def _offered(group: WorkerGroup) -> dict[str, float]:
    accelerator = group.accelerator
    offer: dict[str, float] = {
        "cpus": group.resources.cpus,
        "memory": group.resources.memory_bytes,
        "gpus": accelerator.count if accelerator else 0,
        "gpuMemory": 0,
    }
    if accelerator is not None:
        # A group that does not say how large its GPUs are is not refused for it.
        offer["gpuMemory"] = accelerator.memory_bytes or float("inf")
    return offer


def _fit_rules(
    resources: StageResources, groups: Sequence[WorkerGroup], loc: Loc, label: str
) -> Iterator[Breach]:
    """A worker must fit into a pod of some group it may run in."""
    need: dict[str, float] = {
        "cpus": resources.cpus or 0,
        "memory": resources.memory_bytes or 0,
        "gpus": resources.gpus or 0,
        "gpuMemory": resources.gpu_memory_bytes or 0,
    }
    offers = [_offered(group) for group in groups]
    if not offers or any(all(need[key] <= offer[key] for key in need) for offer in offers):
        return
    alone = False
    for key, words, group_field in _DIMENSIONS:
        most = max(offer[key] for offer in offers)
        if need[key] > most:
            alone = True
            yield Breach(
                loc,
                f"needs {_amount(need[key], words)} per worker, largest worker group offers "
                f"{_amount(most)}",
                f"Raise spec.cluster.workerGroups[].{group_field} or lower "
                f"spec.{join_path(loc)}.resources.{key}",
                label,
            )
    if not alone:
        needs = ", ".join(_amount(need[key], words) for key, words, _ in _DIMENSIONS if need[key])
        yield Breach(
            loc,
            f"needs {needs} per worker together; no worker group offers all of it in one pod",
            "Raise one group of spec.cluster.workerGroups or lower "
            f"spec.{join_path(loc)}.resources",
            label,
        )


def _amount(value: float, words: str = "") -> str:
    number = str(int(value)) if value == int(value) else f"{value:g}"
    if value == 1:
        words = words.removesuffix("s") if words in ("CPUs", "GPUs") else words
    return f"{number} {words}".rstrip()


def _location_rules(spec: PipelineSpec) -> Iterator[Breach]:
    cluster = spec.cluster
    for name in ("checkpoint", "dead_letters", "artifacts"):
        location = getattr(spec, name)
        if location is None or not location.uri.startswith("file:"):
            continue
        loc: Loc = (wire_name(spec, name), "uri")
        path = location.uri.removeprefix("file://")
        if not path.startswith("/"):
            yield Breach(
                loc,
                f"wanted an absolute path after file://, got {shown(location.uri)}",
                f"Write file:///{path}",
            )
        elif cluster is not None and cluster.existing is None and not cluster.pod_template:
            mounts = [mount.mount_path.rstrip("/") for mount in cluster.volume_mounts]
            if not any(path == mount or path.startswith(f"{mount}/") for mount in mounts):
                yield Breach(
                    loc,
                    f"{path} is under no mounted volume (mounted: {', '.join(mounts) or 'none'}),"
                    " so it would go with the pod",
                    "Mount a volume there with spec.cluster.volumes and volumeMounts, or use an "
                    "object store",
                )


def wire_name(model: BaseModel | type[BaseModel], field: str) -> str:
    """The name that a field has in the file."""
    kind = model if isinstance(model, type) else type(model)
    return kind.model_fields[field].alias or field
