"""Write `crds/curatorpipelines.yaml` from the models; `--check` fails if the file is stale.

Called by people who change the models, and with `--check` by CI:
`python -m curator_api.generate [--check] [FILE]`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from curator_api.crd import custom_resource_definition

DEFAULT_FILE = Path(__file__).parents[1] / "curatorpipelines.yaml"
_HEAD = "# Made from the models by `make generate`; edits here are lost.\n"


class _Dumper(yaml.SafeDumper):
    """No anchors: the same limits in two places are not one thing."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def definition() -> str:
    """The file."""
    text = yaml.dump(
        custom_resource_definition(),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return _HEAD + text


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or compare it; 1 if it is stale."""
    parser = argparse.ArgumentParser(description="Write the CustomResourceDefinition.")
    parser.add_argument("--check", action="store_true", help="fail if the file is stale")
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_FILE)
    options = parser.parse_args(arguments)
    wanted = definition()
    if options.check:
        if options.file.exists() and options.file.read_text(encoding="utf-8") == wanted:
            return 0
        sys.stderr.write(f"{options.file} is stale; write it with make generate\n")
        return 1
    options.file.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
