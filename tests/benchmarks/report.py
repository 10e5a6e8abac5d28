"""Tables from measurements: on the terminal, and in `docs/performance.md`.

`python -m tests.benchmarks.report results.json` prints the tables as Markdown; with
`--into docs/performance.md` they replace what stands between the two markers of that page.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import (
    ALL_CPU,
    Figure,
    Measurements,
    Result,
    faults,
    figures,
    idle_shares,
)

BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"
CONTESTANTS = {
    "ours": "curator",
    "ours_fused": "curator, fused",
    "raw": "raw actors, one call a task",
    "raw32": "raw actors, 32 inputs a call",
    "raw32_refilled": "raw actors, 32 tasks in every call",
    "raw_fixed": "raw actors, best fixed counts",
    "ray_data": "Ray Data",
    "ray_data_scaled": "Ray Data, scaled",
    "plain": "plain Python loop",
}
UNITS = {"x": "×", "us": "µs", "MB": "MB", "%": "%"}


def _value(figure: Figure) -> str:
    return f"{figure.value:.3g} {UNITS[figure.bound.unit]}"


def _aim(figure: Figure) -> str:
    sign = "≥" if figure.bound.better == "higher" else "≤"
    return f"{sign} {figure.bound.target:g} {UNITS[figure.bound.unit]}"


def _verdict(figure: Figure) -> str:
    return "yes" if figure.bound.meets_target(figure.value) else "no"


def text_table(found: list[Figure]) -> str:
    """Figures against targets, for the terminal."""
    width = max((len(figure.bound.title) for figure in found), default=0)
    return "\n".join(
        f"{figure.bound.title:{width}}  {_value(figure):>12}  target {_aim(figure):>10}  "
        f"{_verdict(figure):3}  {'' if figure.bound.holds(figure.value) else 'REGRESSION'}"
        for figure in found
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figure_table(found: list[Figure]) -> str:
    rows = [[f.bound.title, _value(f), _aim(f), _verdict(f)] for f in found]
    return _table(["Figure", "Measured", "Target", "Met"], rows)


def _rate(measured: Measurements, workload: str, contestant: str, steady: bool) -> str:
    try:
        rate = (
            measured.steady_per_s(workload, contestant)
            if steady
            else measured.whole_per_s(workload, contestant)
        )
    except KeyError:
        return "–"
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _cpu(measured: Measurements, workload: str, contestant: str) -> list[str]:
    try:
        parts = [
            measured.steady_cpu_us(workload, contestant, fields)
            for fields in (ALL_CPU, ("driver_cpu_s",))
        ]
    except KeyError:
        return ["–", "–"]
    return [f"{part:.3g}" for part in parts]


def _contestant_table(measured: Measurements) -> str:
    rows = []
    for workload, contestant in measured.contestants():
        if workload == "I":
            continue
        sizes = measured.sizes(workload, contestant)
        rows.append(
            [
                workload,
                CONTESTANTS[contestant],
                f"{sizes[-1]:,}",
                f"{measured.median(workload, contestant, sizes[-1], 'wall_s'):.2f}",
                _rate(measured, workload, contestant, steady=False),
                _rate(measured, workload, contestant, steady=True),
                *_cpu(measured, workload, contestant),
                f"{measured.peak(workload, 'anon_peak', contestant) / 1e6:,.0f}",
                f"{measured.peak(workload, 'store_peak', contestant) / 1e6:,.0f}",
                f"{measured.peak(workload, 'pinned_peak', contestant) / 1e6:,.0f}",
                f"{measured.peak(workload, 'spilled', contestant) / 1e6:,.0f}",
            ]
        )
    head = ["Work", "Contestant", "n", "Wall, s", "Whole run, inputs/s", "Steady, inputs/s"]
    head += ["CPU per task and stage, µs", "of it driver, µs"]
    head += ["Driver peak, MB", "Store peak, MB", "of it in use, MB", "Spilled, MB"]
    return _table(head, rows)


def _idle_table(measured: Measurements) -> str:
    try:
        shares = idle_shares(measured)
    except KeyError:
        return ""
    rows = [[name.rsplit(" ", 1)[0], f"{share:.2f}"] for name, share in shares.items()]
    return "\n\n" + _table(["Process while idle", "% of a core"], rows)


def _hardware(meta: dict[str, Any]) -> str:
    h = meta["hardware"]
    return (
        f"Measured on {meta['date']} ({meta['mode']} form, {meta['seconds']:.0f} s): {h['cpu']}, "
        f"{h['cores']} cores, {h['memory_gib']} GiB, Python {h['python']}, Ray {h['ray']}, "
        f"{h['logical_cpus']} logical CPUs. Load of the machine before: {meta['load_before']}."
    )


def markdown(results: Result) -> str:
    """Everything that is to be said about a run."""
    measured = Measurements(results)
    wrong = faults(results)
    trouble = "\n\nWhat went wrong:\n\n" + "\n".join(f"- {w}" for w in wrong) if wrong else ""
    return (
        f"{_hardware(results['meta'])}\n\n{_figure_table(figures(results))}\n\n"
        f"{_contestant_table(measured)}{_idle_table(measured)}{trouble}\n"
    )


def replace_between_markers(page: str, text: str) -> str:
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
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report")
    parser.add_argument("results", type=Path, help="what run wrote with --json")
    parser.add_argument("--into", type=Path, help="a page with the two markers")
    arguments = parser.parse_args()
    text = markdown(json.loads(arguments.results.read_text()))
    if arguments.into:
        page = replace_between_markers(arguments.into.read_text(), text)
        arguments.into.write_text(page)
    else:
        print(text)


if __name__ == "__main__":
    main()
