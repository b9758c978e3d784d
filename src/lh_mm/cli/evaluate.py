"""`lh evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[str, typer.Argument(help="A run: a folder, an id, latest, or demo.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value of its evaluate: settings.")] = None,
    on: Annotated[
        str | None,
        typer.Option(help="A recipe of other music to measure on, as electronic_unseen: sounds it never heard."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json and sounds; by default the run's own.")
    ] = None,
) -> None:
    """Measure a run: likelihoods beside their floors, music statistics, and how sound follows its notes."""
    from lh_mm.run import evaluate as verb

    typer.echo(verb.evaluate(run, overrides or [], out, on))
