"""`lh codec`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Sound to codec tokens and back.", no_args_is_help=True, rich_markup_mode=None)

WhichCodec = Annotated[str, typer.Option(help="rvq (the shipped codec), encodec, or a folder of weights.")]


@app.command()
def encode(
    audio: Annotated[Path, typer.Argument(help="A sound file.")],
    out: Annotated[Path | None, typer.Option(help="The packed codes; by default beside the sound.")] = None,
    codec: WhichCodec = "rvq",
) -> None:
    """Sound to packed codes."""
    from lh_mm.run import codec as verb

    typer.echo(verb.encode(audio, out, codec))


@app.command()
def decode(
    codes: Annotated[Path, typer.Argument(help="A file of packed codes.")],
    out: Annotated[Path | None, typer.Option(help="The sound; by default beside the codes.")] = None,
    codec: WhichCodec = "rvq",
) -> None:
    """Packed codes to sound; refuses codes that another codec made."""
    from lh_mm.run import codec as verb

    typer.echo(verb.decode(codes, out, codec))


@app.command()
def train(
    experiment: Annotated[str, typer.Argument(help="A codec experiment: a file, or its name.")] = "codec/rvq",
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; a run that was stopped there goes on.")] = None,
) -> None:
    """Train the small RVQ codec; `out/codec` can be used as a codec afterwards."""
    from lh_mm.core.log import setup_logging
    from lh_mm.nn.allocator import keep_memory
    from lh_mm.run import train_codec as verb

    setup_logging()
    keep_memory()  # a step takes two thirds of the time
    typer.echo(verb.train_codec(experiment, overrides or [], out))
