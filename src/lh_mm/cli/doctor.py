"""`lh doctor`."""

from __future__ import annotations

import typer


def doctor() -> None:
    """What this machine can do, and what is missing."""
    from lh_mm.run.doctor import doctor as examine

    report = examine()
    typer.echo(str(report))
    if not report.ok:
        raise typer.Exit(1)
