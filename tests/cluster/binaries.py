"""Build the Kubernetes binaries that tests start, once per version, from Go modules.

Called by `make cluster-binaries` and, for where they are, by the fixtures of `tests/cluster`. What
is built is pinned by `tools/*/go.mod` and `go.sum`, one module a tool so that their dependencies
never mix. The results lie outside the tree, under `$CURATOR_CACHE` (default `~/.cache/curator`), in
a folder named after a hash of those files and of how it is built: a change of version is
another folder, and switching back costs nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
# The first Go that reads a newer `go` line in go.mod and fetches the toolchain it asks for.
OLDEST_GO = (1, 21)
INSTALL_GO = "Install Go 1.21 or newer (https://go.dev/doc/install); it fetches newer ones itself."
# Where the end of a build log is enough to see what failed.
SHOWN_LINES = 20


class CannotBuild(Exception):
    """A binary could not be built; the message says why and what to do."""


@dataclass(frozen=True)
class Binary:
    """One program: the folder under `tools/` that pins it, and its package."""

    tool: str
    package: str


KUBERNETES = "k8s.io/kubernetes"
KUBERAY = "github.com/ray-project/kuberay/ray-operator"
# What an API server without nodes takes.
CONTROL_PLANE = {
    "etcd": Binary("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Binary("k8s", f"{KUBERNETES}/cmd/kube-apiserver"),
    "kube-controller-manager": Binary("k8s", f"{KUBERNETES}/cmd/kube-controller-manager"),
    "kubectl": Binary("k8s", f"{KUBERNETES}/cmd/kubectl"),
    "kuberay-operator": Binary("kuberay", KUBERAY),
    "helm": Binary("helm", "helm.sh/helm/v3/cmd/helm"),
}
# And what nodes take besides.
NODES = {
    "kube-scheduler": Binary("k8s", f"{KUBERNETES}/cmd/kube-scheduler"),
    "kube-proxy": Binary("k8s", f"{KUBERNETES}/cmd/kube-proxy"),
    "kubelet": Binary("k8s", f"{KUBERNETES}/cmd/kubelet"),
    "kubeadm": Binary("k8s", f"{KUBERNETES}/cmd/kubeadm"),
    "kind": Binary("kind", "sigs.k8s.io/kind"),
    "coredns": Binary("coredns", "."),
    "pause": Binary("pause", "."),
}
BINARIES = CONTROL_PLANE | NODES


def cache_directory() -> Path:
    """Where built binaries and their logs are kept."""
    chosen = os.environ.get("CURATOR_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "curator"


def find(name: str) -> Path:
    """A binary that was built before.

    Raises:
        CannotBuild: it was not.
    """
    path = _folder(BINARIES[name].tool) / name
    if not path.exists():
        raise CannotBuild(f"{path} is missing. Run `make cluster-binaries` first.")
    return path


def ensure(names: Sequence[str]) -> dict[str, Path]:
    """Build what is missing, in a fixed order; calls at the same time wait for each other.

    Returns:
        Where each binary is.

    Raises:
        CannotBuild: there is no Go, or it failed; nothing half-built is left.
    """
    unknown = sorted(set(names) - set(BINARIES))
    if unknown:
        raise CannotBuild(f"no such binary: {', '.join(unknown)}; there are {', '.join(BINARIES)}")
    paths = {name: _folder(BINARIES[name].tool) / name for name in names}
    for name, path in paths.items():
        if path.exists():
            continue
        with _locked(path.parent):
            if not path.exists():
                _build(name, path)
    return paths


def module_directory(tool: str, module: str) -> Path:
    """Where Go keeps the source of a pinned module; it is fetched if it is not there.

    Raises:
        CannotBuild: there is no Go, or the module cannot be had.
    """
    for command in (["list", "-m", "-f", "{{.Dir}}", module], ["mod", "download", module]) * 2:
        ran = subprocess.run(
            [_go(), *command], cwd=TOOLS / tool, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise CannotBuild(f"go {' '.join(command)} in tools/{tool}: {ran.stderr.strip()}")
        if command[0] == "list" and ran.stdout.strip():
            return Path(ran.stdout.strip())
    raise CannotBuild(f"go knows no directory of {module} in tools/{tool}, though it fetched it")


def _folder(tool: str) -> Path:
    """Where a tool's binaries of exactly this version and these flags belong."""
    digest = hashlib.sha256()
    for part in ("go.mod", "go.sum", "main.go"):
        if (TOOLS / tool / part).exists():
            digest.update((TOOLS / tool / part).read_bytes())
    digest.update("\n".join([*_flags(tool), sys.platform, os.uname().machine]).encode())
    return cache_directory() / "binaries" / f"{tool}-{digest.hexdigest()[:16]}"


def _flags(tool: str) -> list[str]:
    """Arguments of `go build`; no debugging tables, which are a third of the size."""
    link = "-s -w"
    if tool == "k8s":
        # Without it the API server says that it is version 0.0.0, and kubectl warns about it.
        version = _version("k8s", KUBERNETES)
        major, minor = version.removeprefix("v").split(".")[:2]
        stamp = {
            "gitVersion": version,
            "gitMajor": major,
            "gitMinor": minor,
            "gitCommit": "module",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
        }
        link += "".join(
            f" -X {package}.{name}={value}"
            for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            for name, value in stamp.items()
        )
    return ["-trimpath", "-buildvcs=false", f"-ldflags={link}"]


def kubernetes_version() -> str:
    """The Kubernetes that is pinned, such as v1.34.4."""
    return _version("k8s", KUBERNETES)


def _version(tool: str, module: str) -> str:
    """The pinned version of a module, from go.mod."""
    text = (TOOLS / tool / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise CannotBuild(f"tools/{tool}/go.mod does not require {module}")
    return found[1]


def _build(name: str, path: Path) -> None:
    """Build into a file of its own and give it its name when it is whole."""
    binary = BINARIES[name]
    log = path.with_name(f"{name}.log")
    command = [_go(), "build", *_flags(binary.tool)]
    print(f"cluster-binaries: building {name}, log in {log}", flush=True)
    for left_by_a_killed_build in path.parent.glob(f".{name}-*"):
        shutil.rmtree(left_by_a_killed_build)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{name}-") as scratch:
        half = Path(scratch) / name
        with log.open("w") as output:
            ran = subprocess.run(
                [*command, "-o", str(half), binary.package],
                cwd=TOOLS / binary.tool,
                # One setting for all of them: another one would compile everything again.
                env={**os.environ, "CGO_ENABLED": "0"},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ran.returncode:
            end = "\n".join(log.read_text().splitlines()[-SHOWN_LINES:])
            raise CannotBuild(
                f"`go build {binary.package}` in tools/{binary.tool} ended with status "
                f"{ran.returncode}; the whole log is {log}, it ends:\n{end}"
            )
        half.replace(path)
    print(f"cluster-binaries: {name} built in {time.monotonic() - started:.0f} s", flush=True)


@cache
def _go() -> str:
    """The Go command, if it is new enough to fetch what is newer still."""
    go = shutil.which("go")
    if go is None:
        raise CannotBuild(f"No `go` on the PATH; it builds the test clusters. {INSTALL_GO}")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    version = re.match(r"go(\d+)\.(\d+)", said.stdout)
    if not version or (int(version[1]), int(version[2])) < OLDEST_GO:
        raise CannotBuild(f"{go} is {said.stdout.strip() or 'broken'}. {INSTALL_GO}")
    return go


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the only right to build into a folder; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"cluster-binaries: waiting for another build in {folder}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build the named binaries, or those of a control plane, and say where they are."""
    parser = argparse.ArgumentParser(prog="binaries", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BINARIES))
    names = parser.parse_args().names or list(CONTROL_PLANE)
    try:
        for name, path in ensure(names).items():
            print(f"{name:<24} {path}")
    except CannotBuild as error:
        print(f"cluster-binaries: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
