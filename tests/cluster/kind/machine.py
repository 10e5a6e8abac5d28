"""The machine under the cluster: packages, Docker's daemon, and the kernel's settings.

Called by `up` and `down` of `tests.cluster.kind`. What was changed for the cluster is written down
in a file before it is changed, and put back from it, also by a later process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.cluster.binaries import cache_directory

HERE = Path(__file__).parent
BOUNDED_RUNTIME = HERE / "node" / "runc-within-bounds"
PACKAGES = ("docker.io", "containerd", "runc", "iptables", "jq", "debootstrap")
# Debian's commands that those packages bring.
NEEDED = ("docker", "dockerd", "runc", "iptables", "jq", "debootstrap")
SETTINGS = Path("/proc/sys")
# Kubelets set these for the whole machine.
KEPT_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
# 128, the kernel's own, is too few for the watches of three kubelets.
INOTIFY, INOTIFY_INSTANCES = "fs/inotify/max_user_instances", 1024
CAP_SYS_RESOURCE = 24  # linux/capability.h
STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 30.0
LOOK_EVERY_S = 0.2


class CannotPrepare(Exception):
    """The machine cannot hold a cluster; the message says what is missing."""


def state_directory() -> Path:
    """Where the cluster's kubeconfig, logs and what is to be put back lie."""
    directory = cache_directory() / "kind"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def docker_answers() -> bool:
    """Whether a daemon runs that this user may talk to."""
    if shutil.which("docker") is None:
        return False
    ran = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return ran.returncode == 0


def prepare() -> None:
    """Have a Docker daemon, and room for three kubelets' watches.

    Raises:
        CannotPrepare: there is none and none can be started.
    """
    _remember_settings()
    if not docker_answers():
        install_packages()
        _start_docker()
    setting = _setting(INOTIFY)
    if int(setting.read_text()) < INOTIFY_INSTANCES:
        with contextlib.suppress(PermissionError):  # the kubelets then say it themselves
            setting.write_text(str(INOTIFY_INSTANCES))


def install_packages() -> None:
    """Install what is missing, where this is a Debian and we are root.

    Raises:
        CannotPrepare: something is missing and cannot be installed; names it.
    """
    missing = [name for name in NEEDED if _which(name) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise CannotPrepare(
            f"no {', '.join(missing)} here. Install Docker, or run as root on a Debian, where the "
            f"packages {' '.join(PACKAGES)} are installed for you."
        )
    print(f"kind: installing {' '.join(PACKAGES)}", flush=True)
    log = state_directory() / "apt.log"
    with log.open("w") as output:
        for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            ran = subprocess.run(
                ["apt-get", "-q", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            if ran.returncode:
                raise CannotPrepare(f"`apt-get {command[0]}` failed; its log is {log}")


def restore() -> None:
    """Put the kernel's settings back, and end the daemon if `prepare` started it."""
    path = _state_file()
    if not path.exists():
        return
    state = json.loads(path.read_text())
    pid = state.get("dockerd")
    if pid is not None and _is_dockerd(pid):
        _end(pid)
    for name, value in state["settings"].items():
        setting = _setting(name)
        if setting.read_text().strip() != value:
            setting.write_text(value)
    path.unlink()


def _remember_settings() -> None:
    """Write down what there was before the first cluster; a second one finds it changed already."""
    if not _state_file().exists():
        names = (*KEPT_SETTINGS, INOTIFY)
        settings = {name: _setting(name).read_text().strip() for name in names}
        _write_state({"settings": settings})


def _start_docker() -> None:
    command = ["dockerd"]
    if not _may(CAP_SYS_RESOURCE):
        command += ["--add-runtime", f"bounded={BOUNDED_RUNTIME}", "--default-runtime", "bounded"]
    log = state_directory() / "dockerd.log"
    with log.open("w") as output:
        # It outlives this process: `kind-up` leaves a cluster behind on purpose.
        daemon = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _write_state({**json.loads(_state_file().read_text()), "dockerd": daemon.pid})
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not docker_answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            end = "\n".join(log.read_text().splitlines()[-15:])
            raise CannotPrepare(f"dockerd does not run; its log is {log}, it ends:\n{end}")
        time.sleep(LOOK_EVERY_S)


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL for one that does not end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.kill(pid, number)
        deadline = time.monotonic() + ENDS_WITHIN_S
        while _is_dockerd(pid) and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(LOOK_EVERY_S)
        if not _is_dockerd(pid):
            return


def _is_dockerd(pid: int) -> bool:
    """Whether the process is still the one that was started, and not another with its number."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def _may(capability: int) -> bool:
    """Whether a program of this machine can have a capability at all."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return True


def _which(name: str) -> str | None:
    """Debian keeps some commands where only root's path leads."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _setting(name: str) -> Path:
    return SETTINGS / name


def _state_file() -> Path:
    return state_directory() / "state.json"


def _write_state(state: dict[str, Any]) -> None:
    path = _state_file()
    half = path.with_suffix(".half")
    half.write_text(json.dumps(state))
    half.replace(path)
