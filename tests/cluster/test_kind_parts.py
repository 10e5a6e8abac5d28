"""What the cluster of containers decides without one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.kind import __main__ as command
from tests.cluster.kind import cluster, machine
from tests.cluster.kind.cluster import without_forwarding

COREFILE = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa {
       pods insecure
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
}
"""


def test_a_corefile_without_forwarding_keeps_every_other_block() -> None:
    assert (
        without_forwarding(COREFILE)
        == """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa {
       pods insecure
    }
    cache 30
    reload
}
"""
    )
    one_line = ".:53 {\n    forward . 10.0.0.1\n    cache 30\n}\n"
    assert without_forwarding(one_line) == ".:53 {\n    cache 30\n}\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernel settings that a test may change, and a place to remember them."""
    folder = tmp_path / "sys"
    for name in (*machine.KEPT_SETTINGS, machine.INOTIFY):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("128\n")
    monkeypatch.setattr(machine, "SETTINGS", folder)
    monkeypatch.setenv("CURATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "docker_answers", lambda: True)
    return folder


def test_settings_are_put_back_as_they_were_before_the_first_of_two_clusters(
    settings: Path,
) -> None:
    machine.prepare()
    for name in machine.KEPT_SETTINGS:
        (settings / name).write_text("1\n")
    machine.prepare()  # a second cluster finds what the first one's kubelets have set

    machine.restore()

    assert {name: (settings / name).read_text().strip() for name in machine.KEPT_SETTINGS} == (
        dict.fromkeys(machine.KEPT_SETTINGS, "128")
    )
    assert (settings / machine.INOTIFY).read_text().strip() == "128"
    assert not (machine.state_directory() / "state.json").exists()


def test_only_the_daemon_that_was_started_is_ended(settings: Path) -> None:
    machine.prepare()
    state = machine.state_directory() / "state.json"
    with subprocess.Popen(["sleep", "60"]) as other:  # has the number that a daemon had before
        state.write_text(json.dumps({**json.loads(state.read_text()), "dockerd": other.pid}))

        machine.restore()

        assert other.poll() is None
        other.kill()


def test_on_a_machine_where_nothing_was_built_building_comes_first(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Built(Exception):
        pass

    def build(names: list[str]) -> None:
        raise Built(names)

    monkeypatch.setattr(binaries, "ensure", build)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Built, match="kind"):
        cluster.create(product=False)


def test_what_was_never_made_is_taken_away_without_a_word(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = []
    monkeypatch.setattr(machine, "restore", lambda: restored.append(True))
    monkeypatch.setenv("PATH", "")
    command._down()
    assert restored
