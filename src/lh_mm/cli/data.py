"""`lh data`: from a recipe or a folder to a prepared set, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Prepare music for training, and look at what is prepared. Sets live in $LH_DATA (default ./data).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

WhichSet = Annotated[str, typer.Argument(help="A prepared set: its name, name/fingerprint, or its folder.")]


@app.command()
def prepare(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or its name in data_recipes/ (electronic).")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, for example pieces=400, path=my_music, codec=null, workers=2."),
    ] = None,
) -> None:
    """Download, verify, split, render, encode, shard; what is done already is not done again.

    Bad files are put into quarantine with the reason and never stop a run. Ctrl-C or a full disk lose nothing
    that is finished: the same command goes on.

    Your own music: lh data prepare folder path=my_music
    """
    from lh_mm.core.log import setup_logging
    from lh_mm.run import prepare as verb

    setup_logging()
    try:
        prepared = verb.prepare(recipe, overrides or [])
    except KeyboardInterrupt:
        typer.echo("stopped; finished shards are kept, the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    typer.echo(verb.show_set(prepared))


@app.command("list")
def list_() -> None:
    """Every prepared set."""
    from lh_mm.run import prepare as verb

    lines = verb.list_sets()
    typer.echo("\n".join(lines) if lines else "nothing is prepared yet: lh data prepare electronic")


@app.command()
def show(prepared: WhichSet) -> None:
    """What a set holds: streams, codec, controls, counts."""
    from lh_mm.run import prepare as verb

    typer.echo(verb.show_set(verb.open_set(prepared)))


@app.command()
def check(prepared: WhichSet) -> None:
    """Read all of a set and say what is wrong with it."""
    from lh_mm.run import prepare as verb

    problems = verb.check_set(verb.open_set(prepared))
    typer.echo("\n".join(problems) if problems else "sound")
    if problems:
        raise typer.Exit(1)


@app.command()
def stats(prepared: WhichSet) -> None:
    """Counts by split, changes made to notes, onsets on the grid, quarantine."""
    from lh_mm.run import prepare as verb

    typer.echo(verb.stats_table(verb.open_set(prepared)))


@app.command()
def listen(
    prepared: WhichSet,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("listen.html"),
    pieces: Annotated[int, typer.Option(min=1, help="How many pieces.")] = 6,
    seconds: Annotated[float, typer.Option(min=1.0, help="How much of each.")] = 20.0,
) -> None:
    """A page to hear and see some pieces: one HTML file, no network."""
    from lh_mm.run import prepare as verb
    from lh_mm.run.listen import listen as write_page

    typer.echo(write_page(verb.open_set(prepared), out, pieces=pieces, seconds=seconds))
