"""`lh show`."""

from __future__ import annotations

from typing import Annotated

import typer


def show(
    file: Annotated[str, typer.Argument(help="An experiment or a data recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value")] = None,
    doc: Annotated[bool, typer.Option(help="Say what each key means.")] = True,
) -> None:
    """The whole resolved configuration: every value, where it was said, what it means."""
    from lh_mm.run import show as verb

    typer.echo(verb.show(file, overrides or [], doc=doc))
