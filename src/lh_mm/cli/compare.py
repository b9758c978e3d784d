"""`lh compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[str], typer.Argument(help="Runs, evaluated or not.")],
    out: Annotated[Path | None, typer.Option(help="Also write report.html, table.md and table.json here.")] = None,
) -> None:
    """One table of several runs, seeds of one experiment grouped, and how their settings differ."""
    from lh_mm.run import compare as verb

    typer.echo(verb.compare(runs, out))
