"""One table of results for the terminal, Markdown, JSON and the page, which never compares what does not compare.

Each figure carries its *context*: corpus, split, grid, tolerance, codec. Within a column only cells of one
context are figures, the others are dashes that say why; the best is marked only among them, and only when
there are two, with those that its figure does not tell apart: it lies in their interval or spread. Runs of one
name and settings are seeds of one experiment and become one row, mean ± standard deviation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table as RichTable
from rich.text import Text

DASH = "–"


@dataclass(frozen=True)
class Metric:
    """A column.

    Attributes:
        key: of the figures in `RunScores.scores`.
        title, unit: as printed.
        higher_is_better: None where neither direction is better (parameters, seconds of data).
        digits: after the point.
        definition: one or two sentences: grid, tolerance, what it is measured against.
    """

    key: str
    title: str
    higher_is_better: bool | None
    unit: str = ""
    digits: int = 3
    definition: str = ""

    @property
    def name(self) -> str:
        """The title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True)
class Measured:
    """One figure of one run.

    Attributes:
        value: the figure.
        context: what it was measured on and how; equal contexts compare, others do not.
        low, high: its interval, when there is one.
        num: samples behind it (crops, pieces, tokens), 0 when it does not apply.
    """

    value: float
    context: str
    low: float | None = None
    high: float | None = None
    num: int = 0


@dataclass(frozen=True)
class RunScores:
    """What one run scored; runs of one `name` and `settings` are seeds of one experiment.

    Attributes:
        name: of the experiment, as shown.
        scores: metric key to figure; a metric without one is a dash.
        seed: of the run, kept in JSON.
        settings: all others, as one word; rows of one name that differ in them are named by their notes, too.
        note: small print under the name.
        reference: a bound or a floor (the original, n-grams, another piece's notes), never marked as best.
    """

    name: str
    scores: Mapping[str, Measured]
    seed: int | None = None
    note: str = ""
    reference: bool = False
    settings: str = ""


@dataclass(frozen=True)
class Cell:
    """A figure, or a dash with its reason.

    Attributes:
        value: None is a dash.
        low, high: interval of a single run.
        spread: standard deviation over seeds, for two or more.
        num_seeds: runs behind the value.
        num: samples behind it, summed over seeds.
        best: best of its column, or not told apart from it.
        reason: why there is a dash; else the context.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    num_seeds: int = 1
    num: int = 0
    best: bool = False
    reason: str = ""

    def text(self, digits: int) -> str:
        """`0.897 [0.880, 0.912]`, `0.897 ± 0.010` or a dash."""
        if self.value is None:
            return DASH
        text = f"{self.value:,.{digits}f}"
        if self.spread:
            return f"{text} ± {self.spread:.{digits}f}"
        if self.low is not None and self.high is not None:
            return f"{text} [{self.low:,.{digits}f}, {self.high:,.{digits}f}]"
        return text


@dataclass(frozen=True)
class Row:
    """A label and one cell a metric; `seeds` of the runs behind it, `reference` as in `RunScores`."""

    label: str
    cells: tuple[Cell, ...]
    note: str = ""
    seeds: tuple[int, ...] = ()
    reference: bool = False


@dataclass(frozen=True)
class ComparisonTable:
    """The finished table; every form of it is drawn from these same cells."""

    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    caption: str = ""

    def markdown(self, definitions: bool = True) -> str:
        """A GitHub table, the best in bold, then the definitions, unless they stand elsewhere."""
        heads = ["", *(_heading(metric) for metric in self.metrics)]
        lines = ["| " + " | ".join(map(_escape_markdown, heads)) + " |", "|---" + "|---:" * len(self.metrics) + "|"]
        for row in self.rows:
            texts = [cell.text(metric.digits) for cell, metric in zip(row.cells, self.metrics, strict=True)]
            texts = [f"**{text}**" if cell.best else text for text, cell in zip(texts, row.cells, strict=True)]
            lines.append("| " + " | ".join([_escape_markdown(row.label), *texts]) + " |")
        notes = [*self.definitions(), *self.references()] if definitions else []
        return "\n".join([*lines, *([""] + notes if notes else []), *(["", self.caption] if self.caption else [])])

    def definitions(self) -> list[str]:
        """What the columns mean, a Markdown line each."""
        return [f"- {_escape_markdown(f'{m.title}: {m.definition}')}" for m in self.metrics if m.definition]

    def references(self) -> list[str]:
        """What the rows of references are, a Markdown line each."""
        return [f"- {_escape_markdown(f'{row.label}: {row.note}')}" for row in self.rows if row.reference and row.note]

    def rich(self) -> RichTable:
        """For the terminal; the best is bold, dashes are dim. Labels are never read as markup.

        Few rows with many figures stand as columns, so that the screen's width holds them.
        """
        table = RichTable(
            title=Text(self.caption) if self.caption else None, title_justify="left", box=None, padding=(0, 2)
        )
        cells = [
            [
                Text(cell.text(metric.digits), style="bold" if cell.best else "dim" if cell.value is None else "")
                for cell, metric in zip(row.cells, self.metrics, strict=True)
            ]
            for row in self.rows
        ]
        heads = [Text(_heading(metric)) for metric in self.metrics]
        labels = [Text(row.label) for row in self.rows]
        if 2 * len(labels) < len(heads):
            heads, labels, cells = labels, heads, [list(column) for column in zip(*cells, strict=True)]
        table.add_column("", no_wrap=True)  # of a long table figures may wrap, names not
        for head in heads:
            table.add_column(head, justify="right")
        for label, figures in zip(labels, cells, strict=True):
            table.add_row(label, *figures)
        return table

    def json(self) -> dict[str, Any]:
        """Plain values for `json.dump`: columns with definitions, rows with every number, none rounded."""
        return {
            "caption": self.caption,
            "columns": [vars(metric) for metric in self.metrics],
            "rows": [
                {
                    "label": row.label,
                    "note": row.note,
                    "seeds": list(row.seeds),
                    "reference": row.reference,
                    "cells": {m.key: vars(cell) for m, cell in zip(self.metrics, row.cells, strict=True)},
                }
                for row in self.rows
            ],
        }


def comparison_table(runs: Sequence[RunScores], metrics: Sequence[Metric], caption: str = "") -> ComparisonTable:
    """Group seeds, keep apart what does not compare, mark the best.

    Args:
        runs: in the order of the rows; those of one name and settings are grouped where the first stands.
        metrics: the columns.
    """
    groups: dict[tuple[str, str], list[RunScores]] = {}
    for run in runs:
        groups.setdefault((run.name, run.settings), []).append(run)
    names = Counter(name for name, _ in groups)
    columns = [_column(list(groups.values()), metric) for metric in metrics]
    rows = []
    for i, ((name, _), members) in enumerate(groups.items()):
        notes = dict.fromkeys(run.note for run in members if run.note)
        what = [] if names[name] == 1 else ["; ".join(notes)]
        if len(members) > 1:
            seeds_differ = len({run.seed for run in members}) == len(members)
            what.append(f"{len(members)} {'seeds' if seeds_differ else 'runs'}")
        label = f"{name} ({', '.join(what)})" if what else name
        seeds = tuple(run.seed for run in members if run.seed is not None)
        cells = tuple(column[i] for column in columns)
        rows.append(Row(label, cells, "; ".join(notes), seeds, members[0].reference))
    return ComparisonTable(tuple(metrics), tuple(rows), caption)


def _column(groups: Sequence[Sequence[RunScores]], metric: Metric) -> list[Cell]:
    contexts = Counter(
        context
        for group in groups
        for context in {run.scores[metric.key].context for run in group if metric.key in run.scores}
    )
    # The context of most rows is the column's; of equally many, the first row's (Counter keeps that order).
    context = contexts.most_common(1)[0][0] if contexts else ""
    cells = [_cell([run.scores.get(metric.key) for run in group], context) for group in groups]
    ranked = [
        cell.value
        for cell, group in zip(cells, groups, strict=True)
        if cell.value is not None and not group[0].reference
    ]
    if metric.higher_is_better is None or len(ranked) < 2:
        return cells
    best = max(ranked) if metric.higher_is_better else min(ranked)
    return [
        replace(cell, best=_reaches(cell, best) and not group[0].reference)
        for cell, group in zip(cells, groups, strict=True)
    ]


def _reaches(cell: Cell, best: float) -> bool:
    """Whether a figure is the best, or does not lie apart from it by what it is known to within."""
    if cell.value is None:
        return False
    low, high = (cell.low, cell.high) if cell.low is not None and cell.high is not None else (cell.value, cell.value)
    spread = cell.spread or 0.0
    return min(low, cell.value - spread) <= best <= max(high, cell.value + spread)


def _cell(measured: Sequence[Measured | None], context: str) -> Cell:
    """One row's figure over its seeds; a seed without it, or in another context, makes a dash."""
    present = [each for each in measured if each is not None and np.isfinite(each.value)]
    if not present:
        return Cell(None, num_seeds=len(measured), reason="not measured")
    foreign = sorted({each.context for each in present if each.context != context})
    if foreign:
        return Cell(None, num_seeds=len(measured), reason=f"not comparable: measured on {'; '.join(foreign)}")
    if len(present) < len(measured):
        return Cell(None, num_seeds=len(measured), reason=f"measured for {len(present)} of {len(measured)} seeds")
    num = sum(each.num for each in present)
    if len(present) == 1:
        return Cell(present[0].value, present[0].low, present[0].high, num=num, reason=context)
    values = np.array([each.value for each in present])
    spread = float(values.std(ddof=1))
    return Cell(float(values.mean()), spread=spread, num_seeds=len(values), num=num, reason=context)


def _heading(metric: Metric) -> str:
    arrow = "" if metric.higher_is_better is None else " ↑" if metric.higher_is_better else " ↓"
    return metric.name + arrow


def _escape_markdown(text: str) -> str:
    """A name from a file cannot end the cell, start a tag or a link."""
    for mark in ("\\", "|", "<", "*", "_", "`", "["):
        text = text.replace(mark, "\\" + mark if mark != "<" else "&lt;")
    return " ".join(text.split())
