"""`lh compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def compare(
    runs: Annotated[list[str], typer.Argument(help="Runs, evaluated or not, or folders of experiments.")],
    out: Annotated[
        Path | None, typer.Option(help="Also write report.html, table.md, table.json and the runs' measures here.")
    ] = None,
    runs_dir: Annotated[Path, typer.Option("--runs", help="Where runs are kept.")] = Path("runs"),
    train: Annotated[bool, typer.Option(help="Train the experiments of a folder that have no run yet.")] = False,
    wandb: Annotated[
        Literal["off", "offline", "online"], typer.Option(help="Also log tables and page to Weights & Biases.")
    ] = "off",
) -> None:
    """Tables of several runs, seeds of one experiment grouped, and how their settings differ.

    Runs of other music or other tokens stand in tables of their own: their figures say nothing of each other.
    """
    from lh_mm.nn.allocator import keep_memory
    from lh_mm.run import compare as verb

    if train:
        keep_memory()
    typer.echo(verb.compare(runs, out, runs_dir=runs_dir, train_missing=train, wandb=wandb))
