"""A team's namespace, as its members use it: apply, get, describe, logs, delete.

Used by the stories, through the `team` fixture. Pods must meet the `restricted` standard there.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from tests.cluster.kind.cluster import NODE_DATA, Kind
from tests.cluster.kind.machine import CannotPrepare
from tests.cluster.kind.storage import NODE_VOLUMES
from tests.cluster.processes import eventually
from tests.e2e.pipelines import CODE_CONFIG_MAP, DATA_CLAIM, Resource

CODE = Path(__file__).parent / "code" / "story_stages.py"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
ENDS = ("Succeeded", "Failed")
# From apply to the end of a small pipeline, with room for a machine that is busy.
DONE_WITHIN_S = 240.0


@dataclass
class Seen:
    """What a pipeline's status said, in order.

    Attributes:
        phases: each phase once, as it began.
        inputs_done: numbers of finished inputs.
    """

    phases: list[str] = field(default_factory=list)
    inputs_done: list[int] = field(default_factory=list)


class Ran(NamedTuple):
    """A command that has ended: its exit code and what it printed."""

    code: int
    said: str
    complained: str


class Team:
    """A namespace with the stories' code and a volume.

    Args:
        kind: the cluster.
        name: of the namespace, which is made here.

    Attributes:
        name: of the namespace.
        data: what pods see at `/data`.
        image: of the executor.
    """

    def __init__(self, kind: Kind, name: str) -> None:
        self._kind = kind
        self.name = name
        self.image = kind.executor_image
        self.data = _shared(kind.data / name)
        kind.kubectl("create", "namespace", name)
        kind.kubectl("label", "namespace", name, RESTRICTED)
        self.kubectl("create", "configmap", CODE_CONFIG_MAP, f"--from-file={CODE}")
        claim = {"accessModes": _MANY, "resources": _SIZE, "volumeName": name, **_NO_CLASS}
        self.apply(_volume(name))
        self.apply(_object("PersistentVolumeClaim", DATA_CLAIM, claim))
        # Pods that come before their claim is met are put off by the scheduler.
        bound = "--for=jsonpath={.status.phase}=Bound"
        self.kubectl("wait", bound, f"pvc/{DATA_CLAIM}", "--timeout=60s")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What `kubectl` prints, in this namespace."""
        return self._kind.kubectl("-n", self.name, *arguments, stdin=stdin)

    def curator(self, command: str, *arguments: str, as_plugin: bool = False) -> Ran:
        """What `curator` says in this namespace, or `kubectl curator`."""
        program = ["kubectl", "curator"] if as_plugin else ["curator"]
        ran = subprocess.run(
            [*program, command, "--namespace", self.name, *arguments],
            env=self._kind.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def started_curator(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """A `curator` that goes on, in this namespace; the caller ends it."""
        return subprocess.Popen(
            ["curator", command, "--namespace", self.name, *arguments],
            env=self._kind.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def apply(self, resource: Resource) -> None:
        """`kubectl apply`."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(resource))

    def patch(self, name: str, spec: Resource) -> None:
        """Change fields of a pipeline's spec."""
        self.kubectl("patch", "cpl", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def get(self, name: str) -> Resource:
        """A pipeline."""
        found: Resource = json.loads(self.kubectl("get", "cpl", name, "-o", "json"))
        return found

    def status(self, name: str) -> Resource:
        """A pipeline's status; empty before the operator saw it."""
        found: Resource = self.get(name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> Resource:
        """A condition; empty while there is none of that type."""
        found = self.status(name).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def wait(
        self,
        name: str,
        look: Callable[[Resource], Any],
        what: str,
        within_s: float = DONE_WITHIN_S,
    ) -> Resource:
        """The status of a pipeline once `look` says so of it."""

        def seen() -> Resource | None:
            status = self.status(name)
            if look(status):
                return status
            raise AssertionError(_summary(status))

        return eventually(seen, f"{self.name}/{name}: {what}", within_s)

    def wait_for_phase(self, name: str, *phases: str, within_s: float = DONE_WITHIN_S) -> Resource:
        """The status once the phase is one of these; another end ends the wait."""
        status = self.wait(
            name,
            lambda seen: seen.get("phase") in {*phases, *ENDS},
            " or ".join(phases),
            within_s,
        )
        assert status["phase"] in phases, _summary(status)
        return status

    def wait_for_progress(self, name: str) -> None:
        """Wait until an input is finished."""
        self.wait(name, lambda seen: (seen.get("progress") or {}).get("inputsDone"), "progress")

    def listed(self, *what: str) -> list[Resource]:
        """Objects of a kind, such as `pods -l curator.dev/pipeline=x`."""
        found: list[Resource] = json.loads(self.kubectl("get", *what, "-o", "json"))["items"]
        return found

    def pods(self, name: str) -> list[Resource]:
        """Pods of a pipeline."""
        return self.listed("pods", "-l", f"curator.dev/pipeline={name}")

    def head(self, name: str) -> str:
        """Name of a pipeline's head pod."""
        (pod,) = self.listed("pods", "-l", f"curator.dev/pipeline={name},ray.io/node-type=head")
        return str(pod["metadata"]["name"])

    def events(self, name: str) -> list[str]:
        """Reasons of the events of a pipeline."""
        listed = self.listed("events", f"--field-selector=involvedObject.name={name}")
        return [each["reason"] for each in listed]

    def phases_until_the_end(self, name: str) -> Seen:
        """Follow a pipeline until it has ended, without missing a change."""
        seen = Seen()
        for status in self._watched(name):
            phase = status.get("phase", "")
            if phase and phase not in seen.phases[-1:]:
                seen.phases.append(phase)
            done = status.get("progress", {}).get("inputsDone")
            if done is not None:
                seen.inputs_done.append(done)
            if phase in ENDS:
                break
        return seen

    def _watched(self, name: str) -> Iterator[Resource]:
        """Every status of a pipeline from now on, for as long as a story may take."""
        arguments = ("get", "cpl", name, "--watch", "-o", "json", "--output-watch-events")
        with self._kind.started_kubectl("-n", self.name, *arguments) as going:
            assert going.stdout is not None
            ends = threading.Timer(DONE_WITHIN_S, going.kill)
            ends.start()
            try:
                for event in _documents(going.stdout):
                    yield event["object"].get("status", {})
            finally:
                ends.cancel()
                going.kill()

    def claimed(self, claim: str) -> Path:
        """The folder, on this machine, of the volume that a claim was met with."""
        bound = "--for=jsonpath={.status.phase}=Bound"
        self.kubectl("wait", bound, f"pvc/{claim}", "--timeout=60s")
        volume = self.kubectl("get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}")
        where = self.kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}")
        return self._kind.volumes / PurePosixPath(where).relative_to(NODE_VOLUMES)

    def has_nothing_of(self, name: str) -> bool:
        """Whether pipeline, cluster, pods, Secrets and ConfigMaps of it are gone.

        Raises:
            AssertionError: names what is left.
        """
        label = f"curator.dev/pipeline={name}"
        left = self.kubectl("get", "raycluster,pods,secrets,configmaps", "-l", label, "-o", "name")
        left += self.kubectl("get", "cpl", name, "--ignore-not-found", "-o", "name")
        assert not left, left
        return True

    def saved(self, folder: str = "out") -> dict[str, Any]:
        """What the stage `Save` wrote, by file name."""
        found = sorted((self.data / folder).glob("*.json"))
        return {path.name: json.loads(path.read_text()) for path in found}

    def keep(self, directory: Path) -> None:
        """Write down all that would help to see why a story failed."""
        directory.mkdir(parents=True, exist_ok=True)
        for file, arguments in {
            "pipelines.yaml": ("get", "cpl,raycluster,pods", "-o", "yaml"),
            "overview.txt": ("get", "cpl,raycluster,pods,svc,cm,secret,pvc", "-o", "wide"),
            "events.txt": ("get", "events", "--sort-by=.lastTimestamp"),
            "describe.txt": ("describe", "cpl,pods"),
        }.items():
            self._keep(directory / file, *arguments)
        for pod in self.kubectl("get", "pods", "-o", "name").split():
            where = directory / f"{pod.replace('/', '-')}.log"
            self._keep(where, "logs", pod, "--all-containers", "--prefix", "--tail=2000")

    def remove(self) -> None:
        """Delete the namespace; what is in it goes while the next story begins."""
        self._kind.kubectl("delete", "namespace", self.name, "--wait=false")
        self._kind.kubectl("delete", "pv", self.name, "--ignore-not-found", "--wait=false")

    def _keep(self, path: Path, *arguments: str) -> None:
        try:
            path.write_text(self.kubectl(*arguments))
        except CannotPrepare as error:
            path.write_text(str(error))


_MANY = ["ReadWriteMany", "ReadWriteOnce"]
_SIZE = {"requests": {"storage": "1Gi"}}
_NO_CLASS = {"storageClassName": ""}


def _volume(name: str) -> Resource:
    """A volume that all nodes share, for the claim of a namespace."""
    spec = {
        **_NO_CLASS,
        "accessModes": _MANY,
        "capacity": _SIZE["requests"],
        "claimRef": {"namespace": name, "name": DATA_CLAIM},
        "hostPath": {"path": f"{NODE_DATA}/{name}"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    return _object("PersistentVolume", name, spec)


def _object(kind: str, name: str, spec: Resource) -> Resource:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _shared(folder: Path) -> Path:
    """A folder that pods may write to, whoever they run as."""
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def _documents(stream: IO[str]) -> Iterator[Resource]:
    """JSON documents, one a line, as they come."""
    for line in stream:
        yield json.loads(line)


def _summary(status: Resource) -> str:
    """A line or two of a status, for messages."""
    conditions = [
        f"{each['type']}={each['status']} {each.get('reason', '')}: {each.get('message', '')}"
        for each in status.get("conditions", [])
    ]
    return f"phase {status.get('phase')}, {status.get('progress')}; {'; '.join(conditions)}"
