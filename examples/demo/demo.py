"""Clean the documentation of the installed Python, and show what happened: `make demo`.

Builds the corpus (see `corpus.py`), runs `pipeline.yaml` on it through the command line's own
`run`, and sums up. Everything goes to `out/demo` in the repository, or to `--output DIR`.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from corpus import SHARDS, Summary, load_or_build
from pyarrow import parquet

from curator_api.progress import RunReport, StageReport
from curator_executor.cli import main
from curator_executor.sinks.jsonl import read_progress

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = Path(__file__).with_name("pipeline.yaml")
# Where the manifest reads and writes, as it stands.
MANIFEST_OUTPUT = "out/demo"
BAR = 30
SHOWN_REASONS = 3


def run(output: Path, more: list[str]) -> int:
    """Build, run and sum up.

    Args:
        output: directory for everything.
        more: further arguments of `curator run`.

    Returns:
        The exit code of `curator run`.
    """
    corpus, cached = load_or_build(output / "corpus", progress=show_progress)
    where = "already in" if cached else f"in {corpus.seconds:.0f} s, now in"
    print(
        f"corpus: {corpus.documents:,} documents, {corpus.text_bytes / 1e6:.1f} MB of text in "
        f"{SHARDS} files, {where} {output / 'corpus'}"
    )
    manifest = own_manifest(output)
    progress, page = output / "progress.jsonl", output / "report.html"
    code = main(["run", str(manifest), "--report", str(page), "--progress", str(progress), *more])
    if code == 0:
        (report,) = deque(read_progress(progress), maxlen=1)
        assert isinstance(report, RunReport)
        documents = output / "documents"
        kept = sum(parquet.read_metadata(path).num_rows for path in documents.glob("*.parquet"))
        print("\n".join(["", *sum_up(report, corpus, kept), ""]))
        print(f"documents   {documents}/*.parquet")
        print(f"report      {page}  (open it in a browser)")
        print(f"pipeline    {manifest}  (change it and: curator run {manifest})")
    return code


@contextmanager
def held(output: Path) -> Iterator[None]:
    """Keep a second demo out of the directory; two would write one progress file.

    Raises:
        SystemExit: another one is running there.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"demo: another one is running in {output}; wait, or choose --output DIR")
        yield


def show_progress(read: int, files: int, documents: int) -> None:
    """One line that grows; without a terminal only its end."""
    if sys.stdout.isatty():
        end = "\n" if read == files else ""
        print(
            f"\rcorpus: {read:,} of {files:,} files, {documents:,} documents", end=end, flush=True
        )


def own_manifest(output: Path) -> Path:
    """A copy of the manifest that reads and writes below `output`."""
    manifest = yaml.safe_load(MANIFEST.read_text())
    for stage in manifest["spec"]["stages"]:
        for key, value in stage.get("args", {}).items():
            if isinstance(value, str) and value.startswith(f"{MANIFEST_OUTPUT}/"):
                stage["args"][key] = str(output / value.removeprefix(f"{MANIFEST_OUTPUT}/"))
    copy = output / "pipeline.yaml"
    copy.write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
    return copy


def sum_up(report: RunReport, corpus: Summary, kept: int) -> list[str]:
    """What was kept and dropped, how fast, and where the time went.

    Args:
        report: the run.
        corpus: what went in.
        kept: documents that came out.
    """
    elapsed_s = report.snapshot.elapsed_s
    tokens = sum(stage.metrics.get("tokens", 0) for stage in report.stages)
    per_s, mb_per_s = corpus.documents / elapsed_s, corpus.text_bytes / 1e6 / elapsed_s
    share = f"{kept:,} of {corpus.documents:,} documents ({kept / corpus.documents:.0%})"
    return [
        f"kept        {share} with {tokens:,.0f} tokens",
        *(f"dropped     {line}" for line in dropped_by_stage(report.stages)),
        f"throughput  {per_s:,.0f} documents/s, {mb_per_s:.1f} MB/s; {elapsed_s:.0f} s in all",
        *(f"time in     {line}" for line in time_bars(report.stages)),
    ]


def dropped_by_stage(stages: list[StageReport]) -> list[str]:
    """For each stage that dropped documents: how many, and the commonest reasons."""
    lines = []
    for stage in stages:
        reasons = sorted(stage.dropped.items(), key=lambda item: (-item[1], item[0]))
        said = [f"{count:,} {reason}" for reason, count in reasons[:SHOWN_REASONS]]
        if len(reasons) > SHOWN_REASONS:
            rest = sum(count for _, count in reasons[SHOWN_REASONS:])
            said.append(f"{rest:,} for {len(reasons) - SHOWN_REASONS} other reasons")
        if reasons:
            total = sum(stage.dropped.values())
            lines.append(f"{total:>7,}  {stage.progress.name}: {', '.join(said)}")
    return lines


def time_bars(stages: list[StageReport]) -> list[str]:
    """Per stage its seconds and its share of all workers' work, longest first."""
    total = sum(stage.process_s for stage in stages) or 1.0
    widest = max(len(stage.progress.name) for stage in stages)
    return [
        f"{stage.progress.name:<{widest}}  {stage.process_s:6.1f} s  "
        f"{'#' * max(1, round(BAR * stage.process_s / total))}"
        for stage in sorted(stages, key=lambda stage: -stage.process_s)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / MANIFEST_OUTPUT, metavar="DIR")
    options, further = parser.parse_known_args()
    directory = options.output.resolve()
    with held(directory):
        sys.exit(run(directory, further))
