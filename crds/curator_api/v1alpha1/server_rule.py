"""`ServerRule`: a rule between fields that the API server judges, with its examples.

Made by `server_rules`, which has the table. The examples are written with what is here.
"""

from __future__ import annotations

from dataclasses import dataclass

ONE = "stages: [{name: a, class: m.A}]\n"
GROUP = "{name: cpu, maxReplicas: 2, resources: {cpus: 8, memory: 32Gi}}"
GPUS = (
    "{name: gpu, maxReplicas: 2, resources: {cpus: 8, memory: 32Gi}, "
    "accelerator: {count: 2, memory: 80Gi}}"
)
VOLUMES = "volumes: [{name: data, emptyDir: {}}], volumeMounts: [{name: data, mountPath: /data}]"


def stage(fields: str, rest: str = "") -> str:
    """A spec with one stage that has these fields."""
    return f"stages: [{{name: a, class: m.A, {fields}}}]\n{rest}"


def cluster(groups: str, more: str = "") -> str:
    """A cluster with these worker groups, as text below `spec`."""
    return f"cluster: {{workerGroups: [{groups}]{', ' if more else ''}{more}}}\n"


@dataclass(frozen=True)
class ServerRule:
    """A rule in the API server's language (CEL).

    Attributes:
        model: class name of the model whose value is `self`, or `MemoryQuantity`.
        rule: true where all is well.
        message: what is said otherwise, in the words of `rules`.
        field: the field that is to be named, from `self` on, such as `.min`.
        good: specs (the YAML below `spec:`) that keep it.
        bad: specs that break it and no other rule.
    """

    model: str
    rule: str
    message: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    field: str = ""
