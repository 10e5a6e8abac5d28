"""`--code FOLDER`: Python code that is not in the image, as a ConfigMap and what a manifest says.

Called by `submitting` and `rerunning`. The folder becomes a zip file in a ConfigMap, mounted into
all pods; Ray unpacks it on each of them and makes it the working directory of driver and workers.
So modules are imported from files, data files beside them are found, and nothing is built or
uploaded. Reading the folder is the only input; the rest is pure.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_api.v1alpha1 import API_VERSION, KIND
from curator_executor.cli.kube.api import Object
from curator_executor.cli.outcome import CommandError
from curator_executor.sinks.formatting import format_bytes

# The API server's limit on the values of one ConfigMap.
MOST_BYTES = 1024 * 1024
KEY = "code.zip"
VOLUME = "submitted-code"
FOLDER = "/opt/submitted-code"
WORKING_DIR = f"file://{FOLDER}/{KEY}"
LABEL = "curator.dev/submitted-code"
DIGEST = "curator.dev/code-sha256"
# Ray takes a lone folder at the top away, so there is one: a package must not be taken for it.
_TOP = "code"
# The oldest time that a zip file can name: the same files make the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "node_modules"})
_LEFT_OUT_ENDS = (".pyc", ".pyo", ".egg-info")
_SHOWN_LARGEST = 3


@dataclass(frozen=True)
class Code:
    """A folder of code, packed.

    Attributes:
        data: a zip file.
        tops: what can be imported from it: names of modules and packages.
    """

    data: bytes
    tops: frozenset[str]

    @property
    def digest(self) -> str:
        """SHA-256 of the zip file."""
        return hashlib.sha256(self.data).hexdigest()


def pack(folder: Path, most_bytes: int = MOST_BYTES) -> Code:
    """The files of a folder, the same bytes for the same files.

    Hidden files, compiled ones, caches and virtual environments are left out.

    Args:
        folder: what would be on the module path.
        most_bytes: largest zip file to take.

    Raises:
        CommandError: it is no folder, is empty or too large, or holds a link to a folder.
    """
    if not folder.is_dir():
        raise CommandError(f"--code: {folder} is no folder")
    paths = list(_files(folder))
    if not paths:
        raise CommandError(f"--code: there is no file to take along in {folder}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(f"{_TOP}/{path.relative_to(folder).as_posix()}", _EPOCH)
            entry.create_system = 3
            entry.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, _content(path))
    data = buffer.getvalue()
    if len(data) > most_bytes:
        raise CommandError(_too_large(folder, paths, len(data), most_bytes))
    first = {path.relative_to(folder).parts[0] for path in paths}
    return Code(data, frozenset(name.removesuffix(".py") for name in first))


def config_map(name: str, code: Code, owner: Object | None) -> Object:
    """The ConfigMap with the code.

    Args:
        name: its name.
        code: what it holds.
        owner: the pipeline, as the API server gave it; the ConfigMap goes when it does. None for a
            trial.
    """
    metadata: Object = {
        "name": name,
        "labels": {LABEL: "true"},
        "annotations": {DIGEST: code.digest},
    }
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
            }
        ]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "binaryData": {KEY: base64.b64encode(code.data).decode()},
    }


def code_of(config_map: Object) -> Code:
    """The code in a ConfigMap; what can be imported from it is not looked for."""
    return Code(base64.b64decode(config_map["binaryData"][KEY]), frozenset())


def with_code(manifest: Object, config_map_name: str) -> Object:
    """The manifest with the code in all of its pods; the one that was given is not changed.

    Args:
        manifest: a CuratorPipeline on a cluster of its own.
        config_map_name: where the code is.

    Raises:
        CommandError: the manifest leaves no room for it.
    """
    _check_room(manifest["spec"])
    made = copy.deepcopy(manifest)
    spec = made["spec"]
    cluster = spec["cluster"]
    volume = {"name": VOLUME, "configMap": {"name": config_map_name}}
    mount = {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}
    cluster["volumes"] = [*_others(cluster, "volumes"), volume]
    cluster["volumeMounts"] = [*_others(cluster, "volumeMounts"), mount]
    spec["runtimeEnv"] = {**spec.get("runtimeEnv", {}), "working_dir": WORKING_DIR}
    return made


def config_map_of(manifest: Object) -> str:
    """Name of the ConfigMap with the code that a manifest was submitted with; "" if with none."""
    for volume in (manifest["spec"].get("cluster") or {}).get("volumes", ()):
        if volume["name"] == VOLUME:
            return str(volume.get("configMap", {}).get("name", ""))
    return ""


def unused(manifest: Object, code: Code) -> str:
    """A note if no stage of the manifest comes from the code; "" if one does.

    The likely slip is a folder too deep: `src/my_team` where `src` is on the module path.
    """
    spec = manifest["spec"]
    named = [str(one["class"]) for one in spec.get("stages") or ()]
    if spec.get("builder"):
        named = [str(spec["builder"]["callable"])]
    tops = {name.replace(":", ".").partition(".")[0] for name in named}
    own = sorted(tops - {"curator_executor"})
    if not own or not own_missing(own, code):
        return ""
    return (
        f"no stage comes from --code: it holds {', '.join(sorted(code.tops))}, and the manifest "
        f"names {', '.join(own)}. The folder is the one that {own[0]} is imported from"
    )


def own_missing(own: list[str], code: Code) -> bool:
    """Whether none of the modules is in the code."""
    return not any(name in code.tops for name in own)


def _files(folder: Path) -> Iterator[Path]:
    for root, names, files in os.walk(folder):
        here = Path(root)
        kept = sorted(name for name in names if not _is_left_out(here / name))
        for name in kept:
            if (here / name).is_symlink():
                raise CommandError(
                    f"--code: {here / name} is a link to a folder, which cannot be taken along. "
                    "Copy it, or put it into the image"
                )
        names[:] = kept
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith(_LEFT_OUT_ENDS):
                yield here / name


def _is_left_out(path: Path) -> bool:
    return (
        path.name.startswith(".")
        or path.name in _LEFT_OUT_FOLDERS
        or path.name.endswith(_LEFT_OUT_ENDS)
        or (path / "pyvenv.cfg").exists()
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"--code: {path} cannot be read: {error.strerror or error}") from error


def _too_large(folder: Path, paths: list[Path], size: int, most: int) -> str:
    largest = sorted(paths, key=lambda path: path.stat().st_size, reverse=True)[:_SHOWN_LARGEST]
    named = ", ".join(
        f"{path.relative_to(folder)} ({format_bytes(path.stat().st_size)})" for path in largest
    )
    return (
        f"--code: {folder} packed is {format_bytes(size)}, and a ConfigMap holds at most "
        f"{format_bytes(most)}. Largest files: {named}. Put the code into an image (spec.image), "
        "or upload it and give spec.runtimeEnv.working_dir its address, such as "
        "s3://bucket/code.zip"
    )


def _check_room(spec: Mapping[str, Any]) -> None:
    cluster = spec.get("cluster") or {}
    if cluster.get("existing"):
        raise CommandError(
            "--code cannot be used with spec.cluster.existing: nothing can be mounted into pods "
            "that are there already, and the manifest itself travels as the working directory. "
            "Put the code into the cluster's image, or upload it and name its address in "
            "spec.runtimeEnv.py_modules"
        )
    places = {"spec.runtimeEnv.working_dir": spec.get("runtimeEnv")}
    for position, stage in enumerate(spec.get("stages") or ()):
        where = f"spec.stages[{position}]"
        places[f"{where}.runtimeEnv.working_dir"] = stage.get("runtimeEnv")
        for part, options in (stage.get("parts") or {}).items():
            places[f"{where}.parts.{part}.runtimeEnv.working_dir"] = options.get("runtimeEnv")
    for where, given in places.items():
        if (given or {}).get("working_dir") not in (None, WORKING_DIR):
            raise CommandError(
                f"--code and {where} cannot be given together: the code is made the working "
                "directory. Leave one of them out"
            )


def _others(cluster: Mapping[str, Any], field: str) -> list[Any]:
    return [one for one in cluster.get(field) or () if one["name"] != VOLUME]
