# ruff: noqa: E501  a table reads best with one line for each row
"""Manifests that are refused: what is wrong, the text, the path and words of the one problem."""

from __future__ import annotations

from tests.unit.curator_api.manifests import CLUSTER, HEAD, STAGE, spec, stage

TOP = "apiVersion: curator.dev/v1alpha1, kind: CuratorPipeline"
S0 = "spec.stages[0]"
EXISTING = "cluster: {existing: {name: shared}"
MOUNT = CLUSTER + "  volumes: [{name: data}]\n  volumeMounts: [{name: data, mountPath: /data}]\n"

MANY = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in ("ab", "bc", "cd", "de", "ef", "fg")
)

# fmt: off
# What is wrong, the manifest, the path of the one problem, words of its message.
BAD: list[tuple[str, str, str, str]] = [
    # The file as a whole.
    ("nothing", "", "", "empty file"),
    ("blanks", "  \n\n", "", "empty file"),
    ("a comment alone", "# nothing\n", "", "empty file"),
    ("null", "~\n", "", "empty file"),
    ("a list", "- a\n- b\n", "", "wanted a manifest, got a list. A manifest begins with"),
    ("a word", "hello\n", "", 'got "hello"'),
    ("an unclosed bracket", "a: [1\n", "", "is not YAML: expected ',' or ']'"),
    ("a tab", "a:\n\tb: 1\n", "", "Indent with spaces"),
    ("two documents", f"{spec(STAGE)}---\n{spec(STAGE)}", "", "wanted one document, got 2"),
    ("the spec alone", f"{STAGE}\n", "", f"what belongs under spec. A manifest begins with {TOP}"),
    ("a builder alone", "builder: {callable: a.b}\n", "", "what belongs under spec"),
    ("itself", "a: &a [*a]\n", "a[0]", "contains itself"),
    ("a deep nest", "a: " + "[" * 200 + "]" * 200 + "\n", "a", "more than 64 deep"),
    ("aliases that multiply", MANY, "", "has more than 100,000 values"),
    ("a Python object", "a: !!python/object:os.system {}\n", "", "is not YAML"),
    # The top.
    ("another version", HEAD.replace("v1alpha1", "v1"), "apiVersion", 'wanted curator.dev/v1alpha1, got "curator.dev/v1". This release knows no other'),
    ("another kind", HEAD.replace("CuratorPipeline", "CuratorPipelines"), "kind", "Did you mean CuratorPipeline?"),
    ("no kind", spec(STAGE).replace("kind: CuratorPipeline\n", ""), "kind", "is missing"),
    ("no spec", HEAD.replace("spec:\n", ""), "spec", "is missing: What to run and how"),
    ("an empty spec", HEAD, "spec", "is missing: What to run and how"),
    ("an unknown field at the top", spec(STAGE) + "spce: {}\n", "spce", "unknown field. Did you mean spec?"),
    ("a field of the server in the wrong place", spec(STAGE) + "uid: a\n", "uid", "The API server writes it; leave it out"),
    ("a space in a label", spec(STAGE).replace("clean-web", 'a, labels: {team: "a b"}'), "metadata.labels.team", 'beginning and ending with a letter or a digit; got "a b"'),
    ("a space in the key of a label", spec(STAGE).replace("clean-web", 'a, labels: {"a b": c}'), "metadata.labels.a b", "wanted a key such as team or example.com/team"),
    ("a bad prefix of an annotation", spec(STAGE).replace("clean-web", 'a, annotations: {"a b/c": d}'), "metadata.annotations.a b/c", "wanted a key such as team"),
    ("an unknown field of the metadata", spec(STAGE).replace("clean-web", "a, nmae: b"), "metadata.nmae", "Did you mean name?"),
    ("capitals in the name", spec(STAGE).replace("clean-web", "Clean"), "metadata.name", "wanted lower-case letters"),
    ("a name from a digit", spec(STAGE).replace("clean-web", "1a"), "metadata.name", "beginning with a letter"),
    ("a long name", spec(STAGE).replace("clean-web", "a" * 41), "metadata.name", "at most 40 characters, got 41"),
    ("a number as name", spec(STAGE).replace("clean-web", "5"), "metadata.name", 'wanted text, got 5. Write "5" in quotes'),
    ("a number as label", spec(STAGE).replace("clean-web", "a, labels: {m: 5}"), "metadata.labels.m", 'Write "5" in quotes'),
    # What YAML lets pass.
    ("a plain no", stage("args: {languages: [en, no]}"), f"{S0}.args.languages[1]", 'YAML reads no as false. Write "no" in quotes'),
    ("a plain on as mode", spec(f"{STAGE}\nexecution: {{mode: on}}"), "spec.execution.mode", "YAML reads on as true"),
    ("a plain yes as flag", spec(f"{STAGE}\nsuspend: yes"), "spec.suspend", 'Write "yes" in quotes, or true'),
    ("a plain y", stage("args: {axis: y}"), f"{S0}.args.axis", 'YAML reads y as true. Write "y" in quotes, or true'),
    ("n as a key", stage("args: {n: 1}"), f"{S0}.args.n", 'Write "n" in quotes'),
    ("on as a key", stage("args: {on: 1}"), f"{S0}.args.on", 'Write "on" in quotes'),
    ("a number as key", stage("args: {5: 1}"), f"{S0}.args.5", "wanted text as a key, got 5"),
    ("a list as key", stage("args: {? [a] : 1}"), f"{S0}.args", "got a list or a mapping"),
    ("a key given twice", stage("retries: 1, retries: 2"), f"{S0}.retries", "is given twice, first in line 6"),
    ("infinity", stage("args: {most: .inf}"), f"{S0}.args.most", "wanted a finite number"),
    ("bytes", stage("args: {raw: !!binary aGk=}"), f"{S0}.args.raw", "tag:yaml.org,2002:binary"),
    # Stages and builder.
    ("neither stages nor builder", spec("suspend: false"), "spec", "exactly one of stages and builder, got neither"),
    ("stages and builder", spec(f"{STAGE}\nbuilder: {{callable: a.b}}"), "spec", "got both"),
    ("no stage", spec("stages: []"), "spec.stages", "a list that is not empty"),
    ("stages as a mapping", spec("stages: {name: a}"), "spec.stages", "wanted a list, got a mapping. Begin each entry with '- '"),
    ("too many stages", spec("stages:" + "".join(f"\n- {{name: s{n}, class: a.B}}" for n in range(65))), "spec.stages", "at most 64 entries, got 65"),
    ("a stage without name", spec("stages: [{class: a.B}]"), f"{S0}.name", "is missing: Unique in the pipeline"),
    ("a stage without class", spec("stages: [{name: a}]"), f"{S0}.class", "is missing: Where the class is"),
    ("two stages of one name", spec("stages: [{name: a, class: a.B}, {name: a, class: a.C}]"), "spec.stages[1].name", '"a" is the name of stages[0] too'),
    ("a space in a stage's name", spec("stages: [{name: a b, class: a.B}]"), f"{S0}.name", "letters, digits, '-'"),
    ("a class without module", spec("stages: [{name: a, class: Read}]"), f"{S0}.class", "a Python name with its module"),
    ("a Python name of a field", stage("batch_size: 3"), f"{S0}.batch_size", "Did you mean batchSize?"),
    ("a misspelt field", stage("retrys: 3"), f"{S0}.retrys", "Did you mean retries?"),
    ("a field one level too high", stage("gpus: 1"), f"{S0}.gpus", "It belongs under resources"),
    ("a field nobody knows", stage("xyzzy: 1"), f"{S0}.xyzzy", "Known here: "),
    ("a number as text", stage('batchSize: "3"'), f"{S0}.batchSize", 'wanted a whole number, got "3". Write 3 without quotes'),
    ("a fraction", stage("batchSize: 1.5"), f"{S0}.batchSize", "wanted a whole number, got 1.5"),
    ("a batch of none", stage("batchSize: 0"), f"{S0}.batchSize", "at least 1, got 0"),
    ("true as number", stage("retries: true"), f"{S0}.retries", "wanted a whole number, got true"),
    ("negative retries", stage("retries: -1"), f"{S0}.retries", "at least 0, got -1"),
    ("a time-out of none", stage("timeoutSeconds: 0"), f"{S0}.timeoutSeconds", "at least 1"),
    ("a null in a list", stage("workerGroups: [~]"), f"{S0}.workerGroups[0]", "wanted text, got nothing (null). Leave the field out"),
    ("an empty required field", spec("stages: [{name: a, class: }]"), f"{S0}.class", "is missing: Where the class is"),
    ("a worker group twice", stage("workerGroups: [a, b, a]"), f"{S0}.workerGroups", 'names "a" twice. Names must be unique'),
    ("more seconds than Kubernetes counts", stage("timeoutSeconds: 2147483648"), f"{S0}.timeoutSeconds", "at most 2147483647"),
    ("args as a list", stage("args: [1]"), f"{S0}.args", "wanted a mapping, got a list"),
    ("fromEnv beside others", stage("args: {k: {fromEnv: A, default: b}}"), f"{S0}.args.k", "fromEnv stands alone in its mapping, got default beside it"),
    ("fromEnv deep inside", stage("args: {k: [{a: {fromEnv: 5}}]}"), f"{S0}.args.k[0].a.fromEnv", "name of an environment variable, got 5"),
    ("min above max", stage("workers: {min: 3, max: 2}"), f"{S0}.workers.min", "at most max, which is 2, got 3"),
    ("count beside max", stage("workers: {count: 3, max: 4}"), f"{S0}.workers.count", "min and max have no place beside it"),
    ("workers as a number", stage("workers: 3"), f"{S0}.workers", "wanted a mapping, got 3"),
    ("more than the execution allows", stage("workers: {min: 5}", "execution: {maxWorkersPerStage: 4}"), f"{S0}.workers.min", "execution.maxWorkersPerStage, which is 4, got 5"),
    # Resources.
    ("millicores", stage("resources: {cpus: 500m}"), f"{S0}.resources.cpus", 'got "500m"; write 0.5'),
    ("negative CPUs", stage("resources: {cpus: -1}"), f"{S0}.resources.cpus", "at least 0"),
    ("a GPU and a half", stage("resources: {gpus: 1.5}"), f"{S0}.resources.gpus", "whole number above 1 or a share below 1, got 1.5"),
    ("GPUs in two ways", stage("resources: {gpus: 1, gpuMemory: 8Gi}"), f"{S0}.resources.gpuMemory", "gpus and gpuMemory are both given"),
    ("gigabytes", stage("resources: {memory: 8GB}"), f"{S0}.resources.memory", 'unknown unit "GB"; write Gi'),
    ("milli bytes", stage("resources: {memory: 500m}"), f"{S0}.resources.memory", "is the unit missing or wrong?"),
    ("a forgotten unit", stage("resources: {memory: 4}"), f"{S0}.resources.memory", "wanted at least 1Mi"),
    ("a float of memory", stage("resources: {memory: 1.5}"), f"{S0}.resources.memory", "a quantity of bytes such as 8Gi, got 1.5"),
    ("more memory than there is", stage("resources: {memory: 2Pi}"), f"{S0}.resources.memory", "wanted at most 1Pi"),
    ("memory as a list", stage("resources: {memory: [8Gi]}"), f"{S0}.resources.memory", "a quantity such as 8Gi"),
    # Execution.
    ("a misspelt mode", spec(f"{STAGE}\nexecution: {{mode: stremaing}}"), "spec.execution.mode", 'wanted streaming or batch, got "stremaing". Did you mean streaming?'),
    ("a share as fraction", spec(f"{STAGE}\nexecution: {{cpuAllocationPercent: 0.95}}"), "spec.execution.cpuAllocationPercent", "wanted a whole number"),
    ("more than all CPUs", spec(f"{STAGE}\nexecution: {{cpuAllocationPercent: 101}}"), "spec.execution.cpuAllocationPercent", "at most 100, got 101"),
    ("an option of the library", spec(f"{STAGE}\nexecution: {{autoscale_interval_s: 3}}"), "spec.execution.autoscale_interval_s", "Did you mean autoscaleIntervalSeconds?"),
    ("an option in the wrong place", spec(f"{STAGE}\nignoreFailures: true"), "spec.ignoreFailures", "It belongs under execution"),
    # Cluster.
    ("a cluster without groups", spec(f"{STAGE}\ncluster: {{}}"), "spec.cluster.workerGroups", "at least one worker group, got none"),
    ("two groups of one name", spec(f"{STAGE}\n{CLUSTER.replace('h100', 'cpu')}"), "spec.cluster.workerGroups[1].name", '"cpu" is the name of workerGroups[0] too'),
    ("more pods at least than at most", spec(f"{STAGE}\n{CLUSTER}    minReplicas: 3"), "spec.cluster.workerGroups[1].minReplicas", "at most maxReplicas, which is 2, got 3"),
    ("an existing cluster with groups", spec(f"{STAGE}\n{EXISTING}, workerGroups: [{{name: a, maxReplicas: 1, resources: {{cpus: 1, memory: 1Gi}}}}]}}"), "spec.cluster.workerGroups", "cannot be given with existing"),
    ("an unknown group", stage("workerGroups: [h10]", CLUSTER), f"{S0}.workerGroups[0]", '(cpu, h100), got "h10". Did you mean h100?'),
    ("an unknown group of a part", stage("parts: {p: {workerGroups: [x]}}", CLUSTER), f"{S0}.parts.p.workerGroups[0]", 'got "x"'),
    ("more GPUs than a pod has", stage("resources: {gpus: 2}", CLUSTER), S0, "needs 2 GPUs per worker, largest worker group offers 1. Raise spec.cluster.workerGroups[].accelerator.count or lower spec.stages[0].resources.gpus"),
    ("a GPU in a group without", stage("workerGroups: [cpu], resources: {gpus: 0.5}", CLUSTER), S0, "needs 0.5 GPUs per worker, largest worker group offers 0"),
    ("more memory than a GPU has", stage("resources: {gpuMemory: 81Gi}", CLUSTER), S0, "bytes of memory on one GPU per worker"),
    ("no group with all of it", stage("resources: {gpus: 1, cpus: 12}", CLUSTER), S0, "needs 12 CPUs, 1 GPU per worker together"),
    ("a mount without volume", spec(f"{STAGE}\n{MOUNT.replace('[{name: data}]', '[{name: dat}]')}"), "spec.cluster.volumeMounts[0].name", 'one of the volumes (dat), got "data". Did you mean dat?'),
    ("two volumes of one name", spec(f"{STAGE}\n{MOUNT.replace('[{name: data}]', '[{name: data}, {name: data}]')}"), "spec.cluster.volumes[1].name", '"data" is the name of volumes[0] too'),
    ("a volume without name", spec(f"{STAGE}\n{CLUSTER}  volumes: [{{emptyDir: {{}}}}]"), "spec.cluster.volumes[0].name", "is missing: Name of the volume"),
    ("an unknown kind of volume", spec(f"{STAGE}\n{CLUSTER}  volumes: [{{name: a, emptydir: {{}}}}]"), "spec.cluster.volumes[0].emptydir", "unknown kind of volume. Did you mean emptyDir?"),
    ("a relative mount", spec(f"{STAGE}\n{MOUNT.replace('mountPath: /data', 'mountPath: data')}"), "spec.cluster.volumeMounts[0].mountPath", "wanted an absolute path"),
    ("an unknown cause to try again", spec(f"{STAGE}\nretryOn: [StageFail]"), "spec.retryOn[0]", "wanted StageFailed"),
    ("an unknown toleration effect", spec(f"{STAGE}\n{CLUSTER}    tolerations: [{{effect: NoSchedul}}]"), "spec.cluster.workerGroups[1].tolerations[0].effect", "Did you mean NoSchedule?"),
    # Locations.
    ("a path without scheme", spec(f"{STAGE}\ncheckpoint: {{uri: /ckpt}}"), "spec.checkpoint.uri", "a location with its scheme"),
    ("a relative file", spec(f"{STAGE}\ncheckpoint: {{uri: 'file://ckpt'}}"), "spec.checkpoint.uri", "Write file:///ckpt"),
    ("a file under no volume", spec(f"{STAGE}\ndeadLetters: {{uri: 'file:///database'}}\n{MOUNT}"), "spec.deadLetters.uri", "/database is under no mounted volume (mounted: /data)"),
    ("an image with a space", spec(f"{STAGE}\nimage: a b"), "spec.image", "an image name without spaces"),
]
# fmt: on
