"""The Ray job of an attempt: what is posted to `/api/jobs/`, and the package of its manifest.

On a cluster of its own the driver reads the manifest from the mounted ConfigMap. Nothing can be
mounted into an existing cluster's pods: there the manifest travels as a Ray package, whose address
is the hash of its content. The entrypoint is fixed text in both cases: Ray gives it to a shell.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import Any

from curator_api.errors import Problem, shown
from curator_api.v1alpha1 import PipelineSpec
from curator_operator.desired.attempt import PipelineIdentity
from curator_operator.desired.errors import refuse
from curator_operator.desired.manifest import manifest_of
from curator_operator.desired.names import (
    MANIFEST_FOLDER,
    MANIFEST_KEY,
    PROGRESS_PORT,
    submission_id,
)

_RUN = "python -m curator_executor run"
# Above Ray's worker ports (10002 to 19999), below the ports that Linux gives out (from 32768).
_FIRST_PORT, _PORTS = 21000, 8000
# The oldest time that a zip file can name: the same manifest makes the same bytes.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """A manifest as a Ray package.

    Attributes:
        name: for `PUT /api/packages/gcs/{name}`.
        data: a zip file with the manifest in it.
    """

    name: str
    data: bytes

    @property
    def uri(self) -> str:
        """What a job's `working_dir` says."""
        return f"gcs://{self.name}"


def submission(pipeline: PipelineIdentity, spec: PipelineSpec, attempt: int) -> dict[str, Any]:
    """Body of `POST /api/jobs/`.

    The job's runtime environment is the manifest's, because the driver imports the stages too. It
    reserves no CPU: Ray then runs it on the head, which offers none.

    Raises:
        DesiredError: `spec.runtimeEnv` cannot be had there.
    """
    refuse(runtime_env_problems(spec))
    runtime_env: dict[str, Any] = dict(spec.runtime_env or {})
    if is_existing(spec):
        runtime_env["working_dir"] = package(pipeline, spec).uri
        entrypoint = f"{_RUN} {MANIFEST_KEY} --serve 0.0.0.0:{driver_port(pipeline.uid, attempt)}"
    else:
        entrypoint = f"{_RUN} {MANIFEST_FOLDER}/{MANIFEST_KEY} --serve 0.0.0.0:{PROGRESS_PORT}"
    return {
        "entrypoint": entrypoint,
        "submission_id": submission_id(pipeline.uid, attempt),
        "metadata": {
            "curator.dev/namespace": pipeline.namespace,
            "curator.dev/pipeline": pipeline.name,
            "curator.dev/attempt": str(attempt),
        },
        "runtime_env": runtime_env,
        "entrypoint_num_cpus": 0,
    }


def package(pipeline: PipelineIdentity, spec: PipelineSpec) -> Package:
    """The manifest as a package, the same bytes for the same manifest.

    Raises:
        DesiredError: the manifest is too large.
    """
    # Stored, not deflated: another zlib would make other bytes of the same text.
    file = zipfile.ZipInfo(MANIFEST_KEY, _ZIP_EPOCH)
    file.external_attr = 0o644 << 16
    file.create_system = 3
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(file, manifest_of(pipeline, spec))
    data = buffer.getvalue()
    # Ray finds the format by the ending and nothing by the rest.
    return Package(f"_ray_pkg_{hashlib.sha256(data).hexdigest()[:40]}.zip", data)


def driver_port(uid: str, attempt: int) -> int:
    """Where the driver of an existing cluster answers; another one for each attempt.

    Several pipelines may share a node, so each has its own; the next attempt tries another, in
    case the first was taken.
    """
    digest = hashlib.sha256(f"{uid}/{attempt}".encode()).digest()
    return _FIRST_PORT + int.from_bytes(digest[:4], "big") % _PORTS


def is_existing(spec: PipelineSpec) -> bool:
    """Whether the pipeline runs on a cluster that is not its own."""
    return spec.cluster is not None and spec.cluster.existing is not None


def runtime_env_problems(spec: PipelineSpec) -> list[Problem]:
    """What of `spec.runtimeEnv` a job on Kubernetes cannot have."""
    where = "spec.runtimeEnv"
    runtime_env = spec.runtime_env or {}
    found = []
    variables = runtime_env.get("env_vars", {})
    if not isinstance(variables, dict):
        found.append(Problem(f"{where}.env_vars", f"wanted a mapping, got {shown(variables)}"))
    folders = {}
    if not is_existing(spec):
        folders[f"{where}.working_dir"] = runtime_env.get("working_dir")
    modules = runtime_env.get("py_modules")
    for position, module in enumerate(modules if isinstance(modules, list) else ()):
        folders[f"{where}.py_modules[{position}]"] = module
    found += [
        Problem(
            path,
            f"wanted an address such as s3://bucket/code.zip, got {shown(folder)}",
            "A folder of your own machine does not exist in the cluster; put the code into the "
            "image, or upload it",
        )
        for path, folder in folders.items()
        if folder is not None and "://" not in str(folder)
    ]
    if runtime_env.get("working_dir") is not None and is_existing(spec):
        found.append(
            Problem(
                f"{where}.working_dir",
                "cannot be given with spec.cluster.existing: the manifest itself travels as the "
                "working directory",
                "Put the code into py_modules, or into the cluster's image",
            )
        )
    return found
