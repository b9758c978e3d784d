"""`lh generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate(
    run: Annotated[str, typer.Argument(help="A run: a folder, an id, latest, or demo (the shipped weights).")],
    out: Annotated[Path, typer.Option(help="What to write: .wav or .mid; the others lie beside it, with a .json.")],
    task: Annotated[
        str | None,
        typer.Option(
            help="midi_to_audio, audio_to_midi, continue, joint or infill. Without it: midi_to_audio for --midi alone, "
            "audio_to_midi for --audio alone, continue for both, joint for neither. Models of notes alone: joint, "
            "continue; with MMM's tokens infill and track, too."
        ),
    ] = None,
    midi: Annotated[Path | None, typer.Option(help="Notes to read.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Sound to read.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length of the result; else that of the input, or open.")
    ] = None,
    prompt_s: Annotated[float | None, typer.Option(help="continue: seconds of the input to keep.")] = None,
    hole_s: Annotated[str | None, typer.Option(help="infill: the part to write anew, as START:END in seconds.")] = None,
    control: Annotated[list[str] | None, typer.Option(help="A control, as style=techno; `lh info` lists them.")] = None,
    temperature: Annotated[float, typer.Option(help="Below 1 safer, above 1 wilder; 0 takes the likeliest.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest only; 0 is all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest that make up this share.")] = 0.95,
    typical_p: Annotated[float, typer.Option(help="Draw from what surprises as much as is to be expected.")] = 1.0,
    guidance: Annotated[
        float, typer.Option(help="Above 1 follows given streams (of notes alone: controls) closely.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same music.")] = 0,
    instrument: Annotated[
        list[str] | None, typer.Option(help="MMM: an instrument to write, drums or a General MIDI program; several.")
    ] = None,
    track: Annotated[list[int] | None, typer.Option(help="MMM: a track of --midi to write into; several.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="MMM: of the tracks that are written, as density=5 or max_polyphony=2.")
    ] = None,
    cap_polyphony: Annotated[int | None, typer.Option(help="MMM: no more notes of a track at once, ever.")] = None,
    cap_notes: Annotated[int | None, typer.Option(help="MMM: no more notes in a bar of a track, ever.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Notes alone: drawn at most where the length is open.")] = 2048,
    samples: Annotated[
        int, typer.Option(help="Notes alone: so many in one batch, of --seed and those behind it: NAME.0.mid, ..")
    ] = 1,
) -> None:
    """Make music: sound for notes, notes for sound, continuations, fillings, tracks.

    Writes .mid, .wav and .json (what was asked, of which bundle, with which seed) side by side. A generation
    that was stopped goes on when the same command is given again (of notes alone it begins again).
    """
    from lh_mm.run import generate_files as verb
    from lh_mm.run.compose_bars import NoteOptions
    from lh_mm.run.note_flags import parse_attributes, parse_instruments

    notes = NoteOptions(
        parse_instruments(instrument or []), tuple(track or []), parse_attributes(attribute or []), cap_polyphony,
        cap_notes, max_tokens,
    )  # fmt: skip
    written = verb.generate(
        run, out, task=task, midi=midi, audio=audio, duration_s=seconds, prompt_s=prompt_s, hole_s=hole_s,
        controls=control or [], temperature=temperature, top_k=top_k, top_p=top_p, typical_p=typical_p,
        guidance=guidance, seed=seed, notes=notes, samples=samples,
    )  # fmt: skip
    typer.echo(written)
