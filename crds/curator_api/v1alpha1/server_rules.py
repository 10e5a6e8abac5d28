"""The rules between fields that the API server judges too: one table, each with its examples.

Read by `crd`, which writes each rule beside its model in the CRD as `x-kubernetes-validations`,
and by the tests, which put every example to the models, to the API server and to
`curator validate`. `rules` says the same to pydantic, with the place and the nearest right name.

What is not here is judged by the models alone, because the API server's language cannot look
inside free-form values: `{fromEnv: NAME}` in `args`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from curator_api.quantities import LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES
from curator_api.v1alpha1.names import MOST_STAGES_AND_PARTS
from curator_api.v1alpha1.server_rule import (
    GPUS,
    GROUP,
    ONE,
    VOLUMES,
    ServerRule,
    cluster,
    stage,
)

_LEAST, _MOST = LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES
_MEMORY = (
    f"type(self) == int ? self >= {_LEAST} && self <= {_MOST} : isQuantity(self) && "
    f"quantity(self).compareTo(quantity('{_LEAST}')) >= 0 && "
    f"quantity(self).compareTo(quantity('{_MOST}')) <= 0"
)
# fmt: off
_GOOD_MEMORY = (
    "8Gi", "1Mi", "1Pi", "1.5Gi", "500M", "1048576", "'1048576'", "1e9", ".5Gi", "'1E7'",
    "'1e+9'", "8.Gi", "2000000k", "1073741824.0", "1048576000m",
)
_BAD_MEMORY = (
    "4", "500m", "8GB", "8gi", "0", "'4'", "1025Ti", "2Pi", "1e30", "1.5", "''", "' 8Gi'", "8 Gi",
    "-1Gi", "1048575", "1Ei", "9007199254740993", "1e3",
)
# fmt: on

QUANTITIES = (
    ServerRule(
        model="MemoryQuantity",
        rule=_MEMORY,
        message="wanted a quantity of bytes from 1Mi to 1Pi, such as 8Gi; is the unit missing or "
        "wrong?",
        good=tuple(stage(f"resources: {{memory: {value}}}") for value in _GOOD_MEMORY),
        bad=tuple(stage(f"resources: {{memory: {value}}}") for value in _BAD_MEMORY),
    ),
    ServerRule(
        model="StageResources",
        rule="!has(self.gpus) || self.gpus <= 1.0 || self.gpus == double(int(self.gpus))",
        message="wanted a whole number above 1 or a share below 1; a share lives on one GPU",
        field=".gpus",
        good=tuple(stage(f"resources: {{gpus: {n}}}") for n in ("0", "0.25", "1", "1.0", "2", "8")),
        bad=tuple(stage(f"resources: {{gpus: {n}}}") for n in ("1.5", "2.25")),
    ),
    ServerRule(
        model="StageResources",
        rule="!has(self.gpuMemory) || !has(self.gpus) || self.gpus == 0.0",
        message="gpus and gpuMemory are both given",
        field=".gpuMemory",
        good=(
            stage("resources: {gpuMemory: 8Gi}"),
            stage("resources: {gpuMemory: 8Gi, gpus: 0}"),
            stage("resources: {gpuMemory: 8Gi, gpus: null}"),
        ),
        bad=(
            stage("resources: {gpuMemory: 8Gi, gpus: 1}"),
            stage("resources: {gpuMemory: 8Gi, gpus: 0.5}"),
        ),
    ),
    ServerRule(
        model="WorkerRange",
        rule="!has(self.count) || (!has(self.min) && !has(self.max))",
        message="count fixes the number of workers, so min and max have no place beside it",
        field=".count",
        good=(stage("workers: {count: 3}"), stage("workers: {count: 3, min: null}")),
        bad=(
            stage("workers: {count: 3, min: 1}"),
            stage("workers: {count: 3, max: 3}"),
            stage("parts: {p: {workers: {count: 3, max: 3}}}"),
        ),
    ),
    ServerRule(
        model="WorkerRange",
        rule="!has(self.min) || !has(self.max) || self.min <= self.max",
        message="wanted at most max",
        field=".min",
        good=(
            stage("workers: {min: 3, max: 3}"),
            stage("workers: {min: 0, max: 1}"),
            stage("workers: {}"),
        ),
        bad=(stage("workers: {min: 3, max: 2}"), stage("parts: {p: {workers: {min: 3, max: 2}}}")),
    ),
    ServerRule(
        model="Location",
        rule="!self.uri.startsWith('file:') || self.uri.startsWith('file:///')",
        message="wanted an absolute path after file://",
        field=".uri",
        good=(
            f"{ONE}checkpoint: {{uri: 'file:///ckpt'}}\n",
            f"{ONE}checkpoint: {{uri: 's3://bucket/a'}}\n",
            f"{ONE}checkpoint: {{uri: 'memory://a'}}\n",
        ),
        bad=tuple(
            f"{ONE}{field}: {{uri: 'file://ckpt'}}\n"
            for field in ("checkpoint", "deadLetters", "artifacts")
        ),
    ),
)


def _empty(field: str) -> str:
    """A free-form mapping or a list is absent or empty; dyn, since free-form has no type."""
    return f"(!has(dyn(self).{field}) || size(dyn(self).{field}) == 0)"


def _alone() -> str:
    absent = [f"!has(self.{field})" for field in ("rayVersion", "head", "serviceAccountName")]
    empty = ("workerGroups", "env", "envFrom", "volumes", "volumeMounts", "imagePullSecrets")
    standing = "(!has(self.keepAfterFinish) || !self.keepAfterFinish)"
    return " && ".join([*absent, *map(_empty, (*empty, "podTemplate")), standing])


_DEFAULTS = (
    "cluster: {existing: {name: shared}, workerGroups: [], podTemplate: {}, env: [], "
    "keepAfterFinish: false}"
)

CLUSTERS = (
    ServerRule(
        model="WorkerGroup",
        rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
        message="wanted at most maxReplicas",
        field=".minReplicas",
        good=(ONE + cluster(GROUP.replace("maxReplicas: 2", "minReplicas: 2, maxReplicas: 2")),),
        bad=(ONE + cluster(GROUP.replace("maxReplicas: 2", "minReplicas: 3, maxReplicas: 2")),),
    ),
    ServerRule(
        model="ClusterSpec",
        rule=f"!has(self.existing) || ({_alone()})",
        message="nothing else can be given with existing; an existing cluster is used as it is",
        field=".existing",
        good=(
            f"{ONE}cluster: {{existing: {{name: shared}}}}\n",
            f"{ONE}cluster: {{existing: {{name: shared, authSecretRef: {{name: s}}}}}}\n",
            f"{ONE}{_DEFAULTS}\n",
        ),
        bad=tuple(
            f"{ONE}cluster: {{existing: {{name: shared}}, {more}}}\n"
            for more in (
                f"workerGroups: [{GROUP}]",
                'rayVersion: "2.60.0"',
                "head: {}",
                "env: [{name: A, value: b}]",
                "envFrom: [{secretRef: {name: s}}]",
                "volumes: [{name: a, emptyDir: {}}]",
                "imagePullSecrets: [{name: a}]",
                "serviceAccountName: a",
                "podTemplate: {spec: {}}",
                "keepAfterFinish: true",
            )
        ),
    ),
    ServerRule(
        model="ClusterSpec",
        rule="has(self.existing) || (has(self.workerGroups) && size(self.workerGroups) > 0)",
        message="wanted at least one worker group, got none",
        good=(ONE + cluster(GROUP),),
        bad=(f"{ONE}cluster: {{}}\n", ONE + cluster("")),
    ),
    ServerRule(
        model="ClusterSpec",
        rule="has(self.existing) || !has(self.volumeMounts) || "
        "(has(dyn(self).podTemplate) && size(dyn(self).podTemplate) > 0) || "
        "self.volumeMounts.all(m, has(self.volumes) && "
        "self.volumes.exists(v, v.name == m.name))",
        message="wanted one of the volumes",
        field=".volumeMounts",
        good=(
            ONE + cluster(GROUP, VOLUMES),
            ONE + cluster(GROUP, "volumes: [{name: data, emptyDir: {}}]"),
            ONE + cluster(GROUP, "volumeMounts: [{name: a, mountPath: /a}], podTemplate: {a: b}"),
        ),
        bad=(
            ONE + cluster(GROUP, VOLUMES.replace("volumes: [{name: data", "volumes: [{name: dat")),
            ONE + cluster(GROUP, "volumeMounts: [{name: data, mountPath: /data}]"),
        ),
    ),
)


def _options(body: Callable[[str], str]) -> str:
    """`body`, which speaks of options, for every stage and every part.

    Written out for both: of what goes through a list or a variable the price is not known.
    """
    return (
        f"!has(self.stages) || self.stages.all(s, ({body('s')}) && "
        f"(!has(s.parts) || s.parts.all(p, {body('s.parts[p]')})))"
    )


def _within(field: str) -> Callable[[str], str]:
    return lambda o: (
        f"!has({o}.workers) || !has({o}.workers.{field}) || "
        f"{o}.workers.{field} <= self.execution.maxWorkersPerStage"
    )


def _named(o: str) -> str:
    return (
        f"!has({o}.workerGroups) || {o}.workerGroups.all(w, "
        "self.cluster.workerGroups.exists(g, g.name == w))"
    )


def _at_most(one: str, other: str) -> str:
    """Compares two quantities."""
    return f"{_bytes(one)}.compareTo({_bytes(other)}) <= 0"


def _bytes(value: str) -> str:
    """A quantity of an integer or a text; a number made text would have no known length."""
    return f"(type({value}) == int ? quantity('0').add({value}) : quantity({value}))"


def _fits(o: str) -> str:
    need, named = f"{o}.resources", f"{o}.workerGroups"
    count = "has(g.accelerator) ? double(g.accelerator.count) : 0.0"
    small = _at_most(f"{need}.memory", "g.resources.memory")
    large = (
        "(has(g.accelerator) && (!has(g.accelerator.memory) || "
        f"{_at_most(f'{need}.gpuMemory', 'g.accelerator.memory')}))"
    )
    fits = (
        f"(!has({named}) || size({named}) == 0 || g.name in {named})",
        f"(!has({need}.cpus) || {need}.cpus <= g.resources.cpus)",
        f"(!has({need}.memory) || {small})",
        f"(!has({need}.gpus) || {need}.gpus <= ({count}))",
        f"(!has({need}.gpuMemory) || {large})",
    )
    return f"!has({need}) || self.cluster.workerGroups.exists(g, {' && '.join(fits)})"


def _many(stages: int, parts: int) -> str:
    options = ", ".join(f"p{part}: {{}}" for part in range(parts))
    listed = (f"{{name: s{n}, class: m.A, parts: {{{options}}}}}" for n in range(stages))
    return f"stages: [{', '.join(listed)}]\n"


_MADE = "has(self.cluster) && !has(self.cluster.existing) && has(self.cluster.workerGroups)"
_BOTH = f"{GROUP}, {GPUS}"

PIPELINES = (
    ServerRule(
        model="PipelineSpec",
        rule="has(self.stages) != has(self.builder)",
        message="wanted exactly one of stages and builder",
        good=(ONE, "builder: {callable: m.build}\n", "builder: {callable: 'm:b'}\nstages: null\n"),
        bad=("suspend: false\n", f"{ONE}builder: {{callable: m.build}}\n"),
    ),
    ServerRule(
        model="PipelineSpec",
        rule="!has(self.stages) || self.stages.map(s, 1 + (has(s.parts) ? size(s.parts) : 0))"
        f".sum() <= {MOST_STAGES_AND_PARTS}",
        message=f"wanted at most {MOST_STAGES_AND_PARTS} stages and parts together",
        field=".stages",
        good=(_many(8, 15), _many(64, 1)),
        bad=(_many(8, 16), _many(64, 2)),
    ),
    *(
        ServerRule(
            model="PipelineSpec",
            rule="!has(self.execution) || !has(self.execution.maxWorkersPerStage) || "
            f"({_options(_within(field))})",
            message=f"workers.{field}: wanted at most execution.maxWorkersPerStage",
            field=".stages",
            good=(
                stage(f"workers: {{{field}: 4}}", "execution: {maxWorkersPerStage: 4}\n"),
                stage("workers: {max: 9}", "execution: {maxWorkersPerStage: 4}\n"),
            ),
            bad=(
                stage(f"workers: {{{field}: 5}}", "execution: {maxWorkersPerStage: 4}\n"),
                stage(
                    f"parts: {{p: {{workers: {{{field}: 5}}}}}}",
                    "execution: {maxWorkersPerStage: 4}\n",
                ),
            ),
        )
        for field in ("min", "count")
    ),
    ServerRule(
        model="PipelineSpec",
        rule=f"!({_MADE}) || ({_options(_named)})",
        message="workerGroups of a stage: wanted names of spec.cluster.workerGroups",
        field=".stages",
        good=(
            stage("workerGroups: [gpu]", cluster(_BOTH)),
            stage("workerGroups: []", cluster(GROUP)),
            stage("workerGroups: [any]"),
            stage("workerGroups: [any]", "cluster: {existing: {name: shared}}\n"),
        ),
        bad=(
            stage("workerGroups: [gpus]", cluster(_BOTH)),
            stage("parts: {p: {workerGroups: [cpu, none]}}", cluster(_BOTH)),
        ),
    ),
    ServerRule(
        model="PipelineSpec",
        rule=f"!({_MADE}) || ({_options(_fits)})",
        message="a stage needs more per worker than any worker group it may run in offers in one "
        "pod; `curator validate` names it",
        field=".stages",
        good=(
            stage("resources: {gpus: 2, cpus: 8, memory: 32Gi}", cluster(_BOTH)),
            stage("resources: {gpus: 0, cpus: 0}", cluster(GROUP)),
            stage("resources: {gpuMemory: 80Gi}", cluster(_BOTH)),
            stage("resources: {gpuMemory: 999Gi}", cluster(GPUS.replace(", memory: 80Gi", ""))),
            stage("workerGroups: [cpu], resources: {memory: 34359738368}", cluster(_BOTH)),
            stage("resources: {cpus: 99}", "cluster: {existing: {name: shared}}\n"),
            stage("parts: {p: {resources: {cpus: 8}}}", cluster(GROUP)),
        ),
        bad=(
            stage("resources: {cpus: 8.5}", cluster(_BOTH)),
            stage("resources: {memory: 33Gi}", cluster(_BOTH)),
            stage("resources: {memory: 34359738369}", cluster(_BOTH)),
            stage("resources: {gpus: 4}", cluster(_BOTH)),
            stage("resources: {gpus: 0.5}", cluster(GROUP)),
            stage("resources: {gpuMemory: 81Gi}", cluster(_BOTH)),
            stage("resources: {gpuMemory: 1Gi}", cluster(GROUP)),
            stage("workerGroups: [cpu], resources: {gpus: 1}", cluster(_BOTH)),
            stage("parts: {p: {resources: {cpus: 9}}}", cluster(_BOTH)),
            stage(
                "resources: {gpus: 1, cpus: 9}",
                cluster(f"{GROUP.replace('cpus: 8', 'cpus: 16')}, {GPUS}"),
            ),
        ),
    ),
)


def _mounted(field: str) -> str:
    uri = f"self.{field}.uri"
    return (
        f"!has(self.{field}) || !{uri}.startsWith('file:///') || !has(self.cluster) || "
        "has(self.cluster.existing) || (has(dyn(self.cluster).podTemplate) && "
        "size(dyn(self.cluster).podTemplate) > 0) || (has(self.cluster.volumeMounts) && "
        f"self.cluster.volumeMounts.exists(m, ({uri}.substring(7) + '/').startsWith("
        "m.mountPath.endsWith('/') ? m.mountPath : m.mountPath + '/')))"
    )


def _located() -> Iterator[ServerRule]:
    for field in ("checkpoint", "deadLetters", "artifacts"):

        def at(path: str, cluster_text: str, field: str = field) -> str:
            return f"{ONE}{field}: {{uri: 'file://{path}'}}\n{cluster_text}"

        yield ServerRule(
            model="PipelineSpec",
            rule=_mounted(field),
            message="is under no mounted volume, so it would go with the pod",
            field=f".{field}",
            good=(
                at("/data/a", cluster(GROUP, VOLUMES)),
                at("/data", cluster(GROUP, VOLUMES)),
                at("/data/a", cluster(GROUP, VOLUMES.replace("/data", "/data/"))),
                at("/a", cluster(GROUP, VOLUMES.replace("/data", "/"))),
                at("/a", cluster(GROUP, "podTemplate: {spec: {}}")),
                at("/a", "cluster: {existing: {name: shared}}\n"),
                at("/a", ""),
                f"{ONE}{field}: {{uri: 's3://bucket/a'}}\n{cluster(GROUP)}",
            ),
            bad=(
                at("/database", cluster(GROUP, VOLUMES)),
                at("/a", cluster(GROUP, "podTemplate: {}")),
            ),
        )


SERVER_RULES: tuple[ServerRule, ...] = (*QUANTITIES, *CLUSTERS, *PIPELINES, *_located())
