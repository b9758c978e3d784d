"""Flags of `lh generate` for bundles of notes alone: words are read, and what a task has no use for is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lh_mm.music.bar_score import track_keys
from lh_mm.music.bars import DRUMS
from lh_mm.music.mmm import CONTROLS, told_ids
from lh_mm.music.score import Score
from lh_mm.run.compose_bars import NoteOptions, told_to

TOKEN_TASKS = ("joint", "continue")
BAR_TASKS = ("joint", "continue", "infill", "track")

_USED: Mapping[str, tuple[str, ...]] = {
    "--midi": ("continue", "infill", "track"),
    "--seconds": ("joint", "continue"),
    "--prompt-s": ("continue",),
    "--hole-s": ("infill",),
    "--instrument": ("joint", "track"),
    "--track": ("continue", "infill"),
}
"""The tasks that read a flag; any other is told so."""


def task_of(
    kind: str,
    task: str | None,
    score: Score | None,
    options: NoteOptions,
    *,
    duration_s: float | None,
    prompt_s: float | None,
    hole_s: tuple[float, float] | None,
    guides: bool,
    guidance: float,
) -> str:
    """What is to be done; `task`, or what the input allows.

    Args:
        kind: of the bundle's tokens.
        task: as it was asked; None for what follows from the rest.
        score: notes to read.
        options: of the tracks.
        duration_s, prompt_s, hole_s: as they were asked.
        guides: whether controls are asked.
        guidance: as it was asked.

    Raises:
        ValueError: naming the flag that such a bundle or task has no use for, or that is missing.
    """
    is_bars = kind == "mmm"
    if not is_bars and options != NoteOptions(max_tokens=options.max_tokens, tries=options.tries):
        flags = "--instrument, --track, --attribute, --cap-polyphony and --cap-notes"
        raise ValueError(f"{flags} are for MMM's tokens alone, not for {kind} tokens")
    if guidance != 1.0 and not guides and not options.attributes:
        raise ValueError(
            f"--guidance {guidance:g} needs something to follow: --control, or --attribute of MMM's tracks"
        )
    if options.tries < 1 or options.max_tokens < 1:
        raise ValueError(f"tries and --max-tokens should be 1 or more, got {options.tries}, {options.max_tokens}")
    if task is None:
        if score is None:
            task = "joint"
        else:
            task = "infill" if hole_s is not None else "track" if options.instruments else "continue"
    known = BAR_TASKS if is_bars else TOKEN_TASKS
    if task not in known:
        if hole_s is not None:
            raise ValueError(f"--hole-s: a bundle of {kind} tokens fills no holes, it is asked for {', '.join(known)}")
        raise ValueError(f"--task {task}: a bundle of {kind} tokens is asked for {', '.join(known)}")
    given: dict[str, Any] = {
        "--midi": score, "--seconds": duration_s, "--prompt-s": prompt_s, "--hole-s": hole_s,
        "--instrument": options.instruments or None, "--track": options.tracks or None,
    }  # fmt: skip
    for flag, tasks in _USED.items():
        if given[flag] is not None and task not in tasks:
            without = "" if score is not None else "; without --midi a piece is begun"
            raise ValueError(f"{flag} says nothing to --task {task}, it is for {' and '.join(tasks)}{without}")
    is_open = task == "joint" and duration_s is None and not is_bars
    if not is_open and options.max_tokens != NoteOptions.max_tokens:
        raise ValueError("--max-tokens is for an open length: joint without --seconds, of other tokens than MMM's")
    if options.attributes:
        _check_attributes(task, score, options)
    return task


def _check_attributes(task: str, score: Score | None, options: NoteOptions) -> None:
    names = ", ".join(name.lower() for name in options.attributes)
    if task == "joint" and not options.instruments:
        raise ValueError(f"--attribute {names} needs --instrument: which tracks of the new piece have it")
    written = options.instruments
    if task in ("continue", "infill") and score is not None:
        written = tuple(
            instrument for track, instrument in track_keys(score) if not options.tracks or track in options.tracks
        )
    if written and not any(told_to(instrument, options) for instrument in written):
        raise ValueError(f"--attribute {names}: of drums nothing but density can be asked, and only drums are written")


def parse_instruments(words: Sequence[str]) -> tuple[int, ...]:
    """Instruments from `drums` or General MIDI programs. Raises ValueError for what is neither."""
    found = []
    for word in words:
        if word != "drums" and not (word.isdigit() and int(word) <= 127):
            raise ValueError(f"--instrument {word}: an instrument is drums or a General MIDI program from 0 to 127")
        found.append(DRUMS if word == "drums" else int(word))
    return tuple(found)


def parse_attributes(pairs: Sequence[str]) -> dict[str, int]:
    """Attributes of tracks from `name=value` words, as `density=5`. Raises ValueError for what no track can be."""
    attributes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value.isdigit() or name.upper() not in CONTROLS:
            known = ", ".join(control.lower() for control in CONTROLS)
            raise ValueError(f"--attribute {pair}: an attribute is written name=number, its name one of {known}")
        attributes[name.upper()] = int(value)
    try:
        told_ids(attributes)
    except ValueError as error:
        raise ValueError(f"--attribute {' '.join(pairs)}: {error}") from error
    return attributes
