"""Tables from measurements of the operator: on the terminal, and in `docs/performance.md`.

`python -m tests.benchmarks.operator.report small.json large.json` prints Markdown, a column for
each file; with `--into docs/performance.md` it replaces what stands between that page's markers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure
from tests.benchmarks.operator.figures import figures

BEGIN = "<!-- operator: begin -->"
END = "<!-- operator: end -->"


def text_table(found: Sequence[Figure]) -> str:
    """Figures against targets, for the terminal."""
    width = max((len(one.bound.title) for one in found), default=0)
    return "\n".join(
        f"{one.bound.title:{width}}  {one.value:9.3g} {one.bound.unit:6} "
        f"target ≤ {one.bound.target:g}  "
        f"{'yes' if one.bound.meets_target(one.value) else 'no':3}  "
        f"{'' if one.bound.holds(one.value) else 'REGRESSION'}".rstrip()
        for one in found
    )


def markdown(runs: Sequence[dict[str, Any]]) -> str:
    """What is to be said about the runs."""
    said = "\n".join(f"- {_about(one['meta'])}" for one in runs)
    faults = [fault for one in runs for fault in one["faults"]]
    trouble = "\n\nWhat went wrong:\n\n" + "\n".join(f"- {one}" for one in faults) if faults else ""
    titles = [f"{one['meta']['pipelines']:,} / {one['meta']['running']}" for one in runs]
    return f"{said}\n\n{_figures(runs, titles)}\n\n{_beside(runs, titles)}{trouble}\n"


def _about(meta: dict[str, Any]) -> str:
    hard = meta["hardware"]
    return (
        f"{meta['pipelines']:,} pipelines, {meta['running']} running, {meta['date']}: "
        f"{hard['cpu']}, {hard['cores']} cores for everything, Python {hard['python']}; load of "
        f"the machine before: {meta['load_before']}; {meta['seconds']:,} s in all, "
        f"{meta['steady_s']:,g} s of them steady, {meta['late']} pipelines in the last step."
    )


def _figures(runs: Sequence[dict[str, Any]], titles: Sequence[str]) -> str:
    found = [{one.name: one for one in figures(run)} for run in runs]
    bounds = {one.name: one.bound for by_name in found for one in by_name.values()}
    rows = [
        [
            bound.title,
            *(_value(by_name.get(name)) for by_name in found),
            f"≤ {bound.target:g} {bound.unit}",
        ]
        for name, bound in bounds.items()
    ]
    return _table(["Pipelines / running", *titles, "Target"], rows)


def _value(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    missed = "" if figure.bound.meets_target(figure.value) else " (missed)"
    return f"{figure.value:.3g} {figure.bound.unit}{missed}"


def _beside(runs: Sequence[dict[str, Any]], titles: Sequence[str]) -> str:
    names = dict.fromkeys(name for run in runs for name in run["beside"])
    rows = [
        [name, *(_plain(run["beside"].get(name)) for run in runs)]
        for name in names
        if not any(isinstance(run["beside"].get(name), dict) for run in runs)
    ]
    return _table(["Beside", *titles], rows)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced(page: str, text: str) -> str:
    """The page with `text` between its markers.

    Raises:
        ValueError: the page lacks a marker.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.operator.report")
    parser.add_argument("results", type=Path, nargs="+", help="what run wrote with --json")
    parser.add_argument("--into", type=Path, help="a page with the two markers")
    given = parser.parse_args()
    text = markdown([json.loads(one.read_text()) for one in given.results])
    if given.into:
        given.into.write_text(replaced(given.into.read_text(), text))
    else:
        print(text)


if __name__ == "__main__":
    main()
