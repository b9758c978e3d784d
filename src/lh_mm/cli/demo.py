"""`lh demo`: the main job from nothing to a page to listen to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Where the page and everything it was made of go.")] = Path("runs/demo"),
    smoke: Annotated[bool, typer.Option(help="The least that passes through every room; for tests.")] = False,
) -> None:
    """Prepare, train two models, generate, evaluate, and write report.html; a second call reuses what is done."""
    from lh_mm.nn.allocator import keep_memory
    from lh_mm.run import demo as verb

    keep_memory()
    typer.echo(verb.demo(out, smoke=smoke))
