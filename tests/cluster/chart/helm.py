"""Helm and the chart, as somebody uses them who installs it. Used by the tests of the chart."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import binaries

CHART = binaries.ROOT / "charts" / "curator"
# What `helm template` takes for the cluster's version; the tests' API server is of this one.
KUBERNETES = "1.34"
RELEASE = "curator"
SYSTEM = "curator-system"

Object = dict[str, Any]


def helm(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run Helm, with its cache and settings in `home`; it may fail."""
    return subprocess.run(
        [binaries.find("helm"), *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


def environment(home: Path) -> dict[str, str]:
    """Of a Helm that reads and leaves nothing in the user's own folders."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("HELM_")}
    return {**others, "HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}


def rendered(values: Object, home: Path) -> str:
    """What the chart makes of values, without an API server.

    Raises:
        AssertionError: Helm refuses them; the message has what it said.
    """
    file = home / "values.json"
    file.write_text(json.dumps(values))
    ran = helm(
        "template", RELEASE, CHART, "-n", SYSTEM, "-f", file, "--kube-version", KUBERNETES,
        home=home,
    )  # fmt: skip
    if ran.returncode:
        raise AssertionError(ran.stderr.strip())
    return ran.stdout


def objects(text: str) -> list[Object]:
    """The objects of a rendered chart, or of what Helm stored."""
    return [each for each in yaml.safe_load_all(text) if each]


def named(found: list[Object], kind: str, name: str = RELEASE) -> Object:
    """The one object of that kind and name."""
    (one,) = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    return one
