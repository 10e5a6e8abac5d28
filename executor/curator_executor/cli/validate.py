"""`curator validate`: everything that is wrong with manifests, at once."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from curator_api.errors import ManifestError
from curator_executor.cli.outcome import OK, REFUSED, explain
from curator_executor.cli.prepare import naming
from curator_executor.cli.services import Services
from curator_executor.sinks.formatting import count_of


def validate_manifests(options: Namespace, services: Services) -> int:
    """Check each manifest; 0 if all are right.

    The fields are checked against the contract, then, unless `--fields-only`, the stages are
    imported and built and asked whether they could run here.
    """
    refused = False
    for name in options.manifests:
        path = Path(name)
        try:
            said = _validate_one(path, services, options.fields_only)
        except ManifestError as error:
            explain(error, options.verbose)
            refused = True
        else:
            print(f"{name}: {said}")
    if refused and len(options.manifests) > 1:
        print("curator: not every manifest is right", file=sys.stderr)
    return REFUSED if refused else OK


def _validate_one(path: Path, services: Services, fields_only: bool) -> str:
    manifest = services.load(path)
    if fields_only:
        return "fields are right (stages were not imported)"
    with naming(path):
        pipeline = services.compile(manifest, until=None, directory=path.resolve().parent)
        problems = services.check(pipeline)
        if problems:
            raise ManifestError(problems)
    return f"right, {count_of(len(pipeline.stages), 'stage')}"
