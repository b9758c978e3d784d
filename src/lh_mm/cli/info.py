"""`lh info`."""

from __future__ import annotations

from typing import Annotated

import typer


def info(run: Annotated[str, typer.Argument(help="A run: a folder, an id, latest, or demo.")]) -> None:
    """What a bundle is and can do: streams, tasks, controls, codec, scores, licence."""
    from lh_mm.run import info as verb

    typer.echo(verb.info(run))
