"""`python -m tests.cluster.kind up|down|run|load`: a real cluster with nodes, for tests by hand
and for `tests/e2e`.

`up` leaves it running, with our images loaded, until `down`, which also ends Docker if `up` started
it and puts the kernel's settings back. `run COMMAND…` does the one, the command and the other; a
cluster that was up before is used, with our images built anew from the tree, and left standing.
`load` does that alone.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from types import FrameType

from tests.cluster import binaries
from tests.cluster.kind import cluster, machine


def _up() -> cluster.Kind:
    started = time.monotonic()
    machine.prepare()
    kind = cluster.create(product=True)
    repository, _, tag = kind.operator_image.rpartition(":")
    print(
        f"kind: up in {time.monotonic() - started:.0f} s\n"
        f"  export KUBECONFIG={kind.kubeconfig}\n"
        f"  export PATH={_folders()}:$PATH   # kubectl and helm, if you have none\n"
        "  helm install curator charts/curator -n curator-system --create-namespace --wait \\\n"
        f"    --set image.repository={repository} --set image.tag={tag} \\\n"
        f"    --set config.defaultImage={kind.executor_image}\n"
        f"  {kind.data} on this machine is {cluster.NODE_DATA} on the nodes",
        flush=True,
    )
    return kind


def _folders() -> str:
    """Where kubectl and helm lie."""
    return ":".join(str(binaries.find(name).parent) for name in ("kubectl", "helm"))


def _down() -> None:
    try:
        if machine.docker_answers():
            cluster.delete()
    finally:
        machine.restore()


def _load() -> None:
    kind = cluster.current()
    if kind is None:
        raise machine.CannotPrepare("no cluster is up: `make kind-up` first")
    kind = cluster.load(kind)
    print(f"kind: {kind.operator_image}, {kind.executor_image} are on the workers", flush=True)


def _run(command: list[str]) -> int:
    """The command's exit status; the cluster is gone afterwards if it was made for it."""

    def interrupted(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"signal {number}")

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    if cluster.current() is not None:
        print("kind: using the cluster that is up; `make kind-down` takes it away", flush=True)
        _load()
        return subprocess.run(command, check=False).returncode
    try:
        _up()
        return subprocess.run(command, check=False).returncode
    finally:
        _down()


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="kind", description=__doc__)
    parser.add_argument("what", choices=("up", "down", "run", "load"))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="for run")
    asked = parser.parse_args()
    try:
        if asked.what == "up":
            _up()
        elif asked.what == "down":
            _down()
        elif asked.what == "load":
            _load()
        else:
            return _run([each for each in asked.command if each != "--"])
    except (machine.CannotPrepare, binaries.CannotBuild) as error:
        print(f"kind: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
