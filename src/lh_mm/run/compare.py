"""`lh compare`: several runs in one table, seeds grouped, with what their settings differ in."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from lh_mm.core.files import read_json, write_atomic, write_json
from lh_mm.core.reproduce import environment
from lh_mm.evaluate.report import Code, Report, Section, Table, write_report
from lh_mm.evaluate.table import ComparisonTable, RunScores, comparison_table
from lh_mm.run.evaluate import EVALUATION, evaluate
from lh_mm.run.runs import find_bundle, find_run
from lh_mm.run.scores import METRICS, reference_rows, scores_of


def compare(runs: Sequence[str], out: Path | None = None) -> str:
    """The table of several runs as text; runs that were not evaluated are evaluated first.

    Args:
        runs: as `find_run` takes them.
        out: folder for `report.html`, `table.md` and `table.json`.

    Raises:
        ValueError: for a run that is not there or has no bundle.
    """
    scored = [score_run(run) for run in runs]
    table = table_of([*(run for run, _ in scored), *reference_rows(scored[0][0])])
    differences = settings_that_differ({run.name: tree for run, tree in scored})
    if out is not None:
        with write_atomic(out / "table.md", "w") as file:
            file.write(table.markdown() + "\n")
        write_json(out / "table.json", table.json())
        report = Report(
            title="Comparison",
            lead=f"{len(scored)} runs: {', '.join(run.name for run, _ in scored)}.",
            sections=(
                Section("Scores", "", (Table(table),)),
                Section("What differs", "", (Code(differences),)),
            ),
            environment={key: str(value) for key, value in environment().items() if isinstance(value, str | int)},
        )
        write_report(report, out / "report.html")
    text = io.StringIO()
    Console(file=text, width=200).print(table.rich())
    return f"{text.getvalue()}\n{differences}" + (f"\nwrote {out / 'report.html'}" if out is not None else "")


def score_run(run: str) -> tuple[RunScores, dict[str, Any]]:
    """A run's scores and its resolved experiment."""
    folder = find_run(run)
    path = folder / EVALUATION
    if not path.is_file():
        evaluate(run)
    evaluation = read_json(path)
    tree = yaml.safe_load((find_bundle(run) / "experiment.yaml").read_text(encoding="utf-8"))
    return RunScores(tree["name"], scores_of(evaluation), seed=tree["trainer"]["seed"], note=folder.name), tree


def table_of(runs: Sequence[RunScores], caption: str = "") -> ComparisonTable:
    """The table with the columns that some run has a figure for."""
    metrics = [metric for metric in METRICS if any(metric.key in run.scores for run in runs)]
    return comparison_table(runs, metrics, caption)


def settings_that_differ(trees: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a key that is not the same in all experiments."""
    flat = {name: _flat(tree) for name, tree in trees.items()}
    keys = sorted({key for values in flat.values() for key in values} - {"name", "question"})
    lines = []
    for key in keys:
        values = {name: tree.get(key) for name, tree in flat.items()}
        if len({repr(value) for value in values.values()}) > 1:
            lines.append(f"{key}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    return "\n".join(lines) or "the settings are equal"


def _flat(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{at}{key}.")
        else:
            flat[f"{at}{key}"] = value
    return flat
