"""`lh compare`: several runs in one table, seeds grouped, with what their settings differ in."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console

from lh_mm.core.config import validate
from lh_mm.core.files import read_json, write_atomic, write_json
from lh_mm.core.log import console
from lh_mm.core.reproduce import environment
from lh_mm.evaluate.report import Code, Curves, Item, Report, Section, Table, write_report
from lh_mm.evaluate.table import ComparisonTable, RunScores, comparison_table
from lh_mm.run.columns import METRICS
from lh_mm.run.compare_folder import TABLES, expanded, group_of, keep_record
from lh_mm.run.evaluate import EVALUATION, evaluate
from lh_mm.run.experiment import Experiment
from lh_mm.run.runs import BUNDLE, find_run
from lh_mm.run.scores import MEASURES, reference_rows, scores_of
from lh_mm.systems.tracking import log_comparison, read_metrics


def compare(
    runs: Sequence[str],
    out: Path | None = None,
    *,
    runs_dir: Path = Path("runs"),
    train_missing: bool = False,
    wandb: Literal["off", "offline", "online"] = "off",
) -> str:
    """The table of several runs as text; runs that were not evaluated are evaluated first.

    Runs of other music or other tokens stand in tables of their own.

    Args:
        runs: as `find_run` takes them, or folders of experiments, which stand for their runs.
        out: folder for `report.html`, `table.md`, `table.json`, and `runs`, of which the tables can be made again.
        runs_dir: where runs are kept.
        train_missing: train the experiments of a folder that have no run.
        wandb: also log tables and page to Weights & Biases; `offline` writes a folder in `out`.

    Raises:
        ValueError: for a run that is not there or has neither figures nor bundle, or `wandb` without `out`.
    """
    if wandb != "off" and out is None:
        raise ValueError("--wandb logs what is written: name a folder with --out")
    found = expanded(runs, runs_dir, train_missing)
    scored = [score_run(run) for run in found]
    groups: dict[tuple[str, str], list[RunScores]] = {}
    curves: dict[tuple[str, str], dict[str, Curve]] = {}
    for run, tree, group, curve in scored:
        groups.setdefault(group, []).append(run)
        if curve is not None:
            curves.setdefault(group, {})[f"{run.name} {tree['trainer']['seed']}"] = curve
    tables = {group: table_of([*own, *reference_rows(own[0])]) for group, own in sorted(groups.items(), key=_place)}
    differences = _differences([(run, tree, group) for run, tree, group, _ in scored])
    if out is not None:
        _write(out, [run.name for run, *_ in scored], tables, curves, differences)
        for word, (run, *_) in zip(found, scored, strict=True):
            keep_record(find_run(word), run.name, out)
        if wandb != "off":
            titled = {" ".join(group): table.json() for group, table in tables.items()}
            log_comparison(out, wandb, titled, out / "report.html")
    text = io.StringIO()
    screen = Console(file=text, width=200)
    for group, table in tables.items():
        if len(tables) > 1:
            screen.print(f"\n{TABLES[group[0]]}: {group[1]}", style="bold")
        screen.print(table.rich())
    return f"{text.getvalue()}\n{differences}" + (f"\nwrote {out / 'report.html'}" if out is not None else "")


Tables = Mapping[tuple[str, str], ComparisonTable]
Curve = tuple[list[int], list[float]]


def _place(item: tuple[tuple[str, str], Any]) -> tuple[int, str]:
    (table, group), _ = item
    return list(TABLES).index(table), group


def _write(
    out: Path,
    names: Sequence[str],
    tables: Tables,
    curves: Mapping[tuple[str, str], Mapping[str, Curve]],
    differences: str,
) -> None:
    """The page, Markdown and JSON."""
    parts: list[str] = []
    sections = []
    for table in dict.fromkeys(table for table, _ in tables):
        own = {group: made for (of, group), made in tables.items() if of == table}
        several = len(tables) > 1
        if several:
            parts += [f"## {TABLES[table]}", ""]
        for group, made in own.items():
            parts += ([f"### {group}", ""] if several else []) + [made.markdown(definitions=not several), ""]
            items: list[Item] = [Table(made)]
            if (table, group) in curves:
                items.append(Curves("In training", curves[table, group], "step", "nats, held-out pieces"))
            sections.append(Section(f"{TABLES[table]}: {group}" if several else "Scores", "", tuple(items)))
    if len(tables) > 1:
        for title, told in (("Columns", ComparisonTable.definitions), ("References", ComparisonTable.references)):
            parts += [f"## {title}", "", *dict.fromkeys(line for made in tables.values() for line in told(made)), ""]
    with write_atomic(out / "table.md", "w") as file:
        file.write("\n".join(parts))
    plain = [{"table": table, "group": group, **made.json()} for (table, group), made in tables.items()]
    write_json(out / "table.json", plain[0] if len(plain) == 1 else {"tables": plain})
    report = Report(
        title="Comparison",
        lead=f"{len(names)} runs: {', '.join(names)}.",
        sections=(*sections, Section("What differs", "", (Code(differences),))),
        environment={key: str(value) for key, value in environment().items() if isinstance(value, str | int)},
    )
    write_report(report, out / "report.html")


def score_run(run: str) -> tuple[RunScores, dict[str, Any], tuple[str, str], Curve | None]:
    """A run's scores, its resolved experiment, the table and group that it stands in, and how it learned.

    A run that was measured is read as it is: its weights may be gone.
    """
    folder = find_run(run)
    path = folder / EVALUATION
    evaluation = read_json(path) if path.is_file() else None
    if evaluation is None or ("symbolic" in evaluation and evaluation.get("measures", 1) < MEASURES):
        if evaluation is not None:
            if not any((at / "bundle.json").is_file() for at in (folder, folder / BUNDLE)):
                raise ValueError(f"{path}: of an older version, whose figures do not compare, and its weights are gone")
            console().print(f"{path}: of an older version, whose figures do not compare; measuring again")
        evaluate(run)
        evaluation = read_json(path)
    resolved = folder / BUNDLE / "experiment.yaml"
    tree = yaml.safe_load((resolved if resolved.is_file() else folder / "experiment.yaml").read_text(encoding="utf-8"))
    word = settings_word(tree)
    scores = RunScores(tree["name"], scores_of(evaluation), tree["trainer"]["seed"], folder.name, settings=word)
    return scores, tree, group_of(evaluation, tree["sequence"]), _curve(folder / "metrics.csv")


def settings_word(tree: Mapping[str, Any]) -> str:
    """One word for all that makes an experiment, but its seed and the machine it ran on."""
    whole = validate(Experiment, tree, "experiment").model_dump(mode="json")  # older runs with the defaults of today
    own = {key: value for key, value in _flat(whole).items() if key.split(".")[0] not in ("question", "tracking")}
    for key in ("trainer.seed", "trainer.threads", "trainer.workers", "trainer.devices", "trainer.accelerator"):
        own.pop(key, None)
    return hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _curve(metrics: Path) -> Curve | None:
    """Steps and nats of held-out pieces; None for fewer than two of them."""
    if not metrics.is_file():
        return None
    rows = [(step, value) for step, name, value in read_metrics(metrics) if name == "valid/nats_total"]
    return ([step for step, _ in rows], [value for _, value in rows]) if len(rows) > 1 else None


def table_of(runs: Sequence[RunScores], caption: str = "") -> ComparisonTable:
    """The table with the columns that some run has a figure for."""
    metrics = [metric for metric in METRICS if any(metric.key in run.scores for run in runs)]
    return comparison_table(runs, metrics, caption)


def _differences(scored: Sequence[tuple[RunScores, Mapping[str, Any], tuple[str, str]]]) -> str:
    """What differs in each group; between groups nothing is compared, so nothing is said either."""
    names = Counter(run.name for run, *_ in scored)
    trees: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for run, tree, group in scored:
        own = trees.setdefault(group, {})
        name = run.name if names[run.name] == 1 else f"{run.name} seed {run.seed}"
        own[name if name not in own else run.note] = tree
    if len(trees) == 1:
        return settings_that_differ(next(iter(trees.values())))
    several = {group: own for group, own in trees.items() if len(own) > 1}
    texts = {group: settings_that_differ(several[group]) for group in sorted(several, key=lambda g: _place((g, None)))}
    return (
        "\n\n".join(f"{TABLES[table]}: {group}\n{text}" for (table, group), text in texts.items())
        or "no two runs are of one group"
    )


def settings_that_differ(trees: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a key that is not the same in all experiments, each value with those that have it.

    Keys that only some kinds of model or of tokens know are counted, not listed: the kinds are.
    """
    flat = {name: _flat(tree) for name, tree in trees.items()}
    keys = sorted({key for values in flat.values() for key in values} - {"name", "question"})
    lines = []
    of_some = 0
    for key in keys:
        having: dict[str, list[str]] = {}
        for name, tree in flat.items():
            having.setdefault(str(tree.get(key)), []).append(name)
        if any(key not in tree for tree in flat.values()) and key.split(".")[0] in ("model", "sequence"):
            of_some += 1
        elif len(having) > 1:
            lines.append(f"{key}: " + "; ".join(f"{value} ({', '.join(names)})" for value, names in having.items()))
    if of_some:
        lines.append(f"and {of_some} keys that only some kinds of model or tokens have: `lh show` of the experiments")
    return "\n".join(lines) or "the settings are equal"


def _flat(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{at}{key}.")
        else:
            flat[f"{at}{key}"] = value
    return flat
