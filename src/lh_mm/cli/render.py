"""`lh render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def render(
    midi: Annotated[Path, typer.Argument(help="A MIDI file.")],
    out: Annotated[Path | None, typer.Option(help="A .wav or .flac; by default beside the MIDI file.")] = None,
    instrument: Annotated[str, typer.Option("--with", help="The instrument: synth (built in).")] = "synth",
    kit: Annotated[str, typer.Option(help="Drum kit of the synth: kit00 to kit11.")] = "kit00",
    preset_seed: Annotated[int, typer.Option(help="Another number, other timbres.")] = 0,
    sample_rate: Annotated[int, typer.Option(help="Samples a second.")] = 44_100,
    stems: Annotated[bool, typer.Option(help="Also write each track by itself.")] = False,
) -> None:
    """Play a MIDI file with an instrument and write the sound."""
    from lh_mm.run import render as verb

    written = verb.render(
        midi, out, instrument=instrument, kit=kit, preset_seed=preset_seed, sample_rate=sample_rate, stems=stems
    )
    typer.echo(written)
