"""What a bundle of notes alone is asked by `lh generate`: tasks and flags to compositions, and what to say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lh_mm.generate.sampling import Sampling
from lh_mm.music.bar_score import bars_between
from lh_mm.music.bars import DRUMS, bar_lines
from lh_mm.music.mmm import CONTROLS, Mmm, told_ids
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose import Beginning, beginning_of, compose, tempo_of
from lh_mm.run.compose_bars import BarAsk, NoteOptions, add_tracks, fill_bars

CONTINUE_S = 10.0
"""Seconds by which a continuation goes on where no length is asked for."""
MAX_TOKENS_PER_S = 400
"""Drawn at most for a second of music of a given length: a model that only adds notes to one chord comes to an end."""
TOKEN_TASKS = ("joint", "continue")
BAR_TASKS = ("joint", "continue", "infill", "track")


def make_notes(
    bundle: Bundle,
    task: str | None,
    score: Score | None,
    *,
    duration_s: float | None = None,
    prompt_s: float | None = None,
    hole_s: tuple[float, float] | None = None,
    controls: Mapping[str, str] | None = None,
    sampling: Sampling = Sampling(top_p=0.95),  # noqa: B008 (frozen)
    guidance: float = 1.0,
    seed: int = 0,
    options: NoteOptions = NoteOptions(),  # noqa: B008 (frozen)
) -> tuple[Score, dict[str, Any]]:
    """The notes, and what was done for them.

    Args:
        bundle: of notes alone.
        task: `joint` from nothing, `continue`; with MMM's tokens also `infill` (of bars) and `track` (one more).
            By default what the input allows.
        score: notes to read.
        duration_s: length of the whole.
        prompt_s: continue: how much of the input is kept, by default all; with MMM's tokens the bars that end by then.
        hole_s: infill: start and end; every bar it touches is written anew.
        controls: of the piece, by name.
        sampling: how tokens are drawn.
        guidance: above 1 follows controls and attributes more closely.
        seed: the same seed gives the same notes.
        options: instruments, tracks, attributes and caps.

    Raises:
        ValueError: for a task that the bundle's tokens cannot do, or one that lacks its input.
    """
    is_bars = isinstance(bundle.vocabulary, Mmm)
    if not is_bars and options != NoteOptions(max_tokens=options.max_tokens, tries=options.tries):
        raise ValueError("instruments, tracks, attributes and caps can be asked of MMM's tokens alone")
    if guidance != 1.0 and not controls and not options.attributes:
        raise ValueError(
            f"--guidance {guidance:g} needs something to follow: --control, or --attribute of MMM's tracks"
        )
    task = task or _default_task(score, hole_s, options)
    known = BAR_TASKS if is_bars else TOKEN_TASKS
    if task not in known:
        what = f"{bundle.experiment.sequence.kind} tokens"
        raise ValueError(f"--task {task}: a bundle of {what} is asked for {', '.join(known)}")
    asked = dict(controls or {})
    if is_bars:
        ask = BarAsk(options, asked, sampling, seed, guidance)
        bars, drawn = _bars(bundle, task, score, ask, duration_s, prompt_s, hole_s)
        return bars, {"task": task, "num_tokens": drawn, "num_notes": len(bars)}
    if task == "continue":
        kept_s = _kept_s(score, prompt_s)
        until_s = kept_s + CONTINUE_S if duration_s is None else duration_s
        if until_s <= kept_s:
            raise ValueError(f"--seconds {until_s:g} leaves nothing to continue behind {kept_s:g} s")
        assert score is not None
        begun = beginning_of(bundle, score, kept_s, until_s, asked, seed)
    else:
        begun = Beginning(tempo_map=tempo_of(asked), controls=asked, until_s=duration_s, seed=seed)
    longest = options.max_tokens if begun.until_s is None else round(begun.until_s * MAX_TOKENS_PER_S)
    (made,), _ = compose(bundle, [begun], sampling, max_tokens=max(1, longest), guidance=guidance)
    about = {"task": task, "num_tokens": made.num_drawn, "num_notes": len(made.score), "ended": made.ended}
    return made.score, about


def _bars(
    bundle: Bundle, task: str, score: Score | None, ask: BarAsk, duration_s: float | None, prompt_s: float | None,
    hole_s: tuple[float, float] | None,
) -> tuple[Score, int]:  # fmt: skip
    """As `make_notes`, with MMM's tokens: the notes, and how many tokens were drawn."""
    if task == "joint":
        made, drawn = add_tracks(bundle, None, tempo_of(ask.controls), ask)
        begun = len(bar_lines(made)) - 1
        end = begun if duration_s is None or not len(made) else bars_between(made, 0.0, duration_s)[-1] + 1
        if end <= begun:
            return made, drawn
        made, more = fill_bars(bundle, made, range(begun, end), ask)
        return made, drawn + more
    if task == "track":
        if score is None or not ask.options.instruments:
            raise ValueError("--task track needs --midi and --instrument, what is to be added")
        return add_tracks(bundle, score, score.tempo_map, ask)
    if task == "infill":
        if score is None or hole_s is None:
            raise ValueError("--task infill needs --midi and --hole-s START:END, what is to be written anew")
        return fill_bars(bundle, score, bars_between(score, *hole_s), ask)
    kept_s = _kept_s(score, prompt_s)
    assert score is not None
    score, begun = (score, len(bar_lines(score)) - 1) if prompt_s is None else _whole_bars(score, kept_s)
    until_s = kept_s + CONTINUE_S if duration_s is None else duration_s
    end = bars_between(score, 0.0, until_s)[-1] + 1
    if end <= begun:
        raise ValueError(f"--seconds {until_s:g} leaves no bar to continue behind {kept_s:g} s")
    return fill_bars(bundle, score, range(begun, end), ask)


def _whole_bars(score: Score, kept_s: float) -> tuple[Score, int]:
    """The notes of the bars that end by `kept_s`, those that are held beyond in full, and how many bars these are.

    Raises:
        ValueError: not even one bar ends by then.
    """
    lines = bar_lines(score)
    begun = int(np.searchsorted(lines, float(score.tempo_map.to_beats(kept_s)) + 1e-6, side="right")) - 1
    if begun < 1:
        raise ValueError(f"--prompt-s {kept_s:g} holds no whole bar, and MMM's tokens go on bar by bar")
    notes = score.notes[score.notes["start_beat"] < lines[begun] - 1e-6]
    if not len(notes):
        raise ValueError(f"--prompt-s {kept_s:g} holds no note")
    end_s = float(max(score.tempo_map.to_seconds(lines[begun]), notes["end_s"].max()))
    return replace(score, notes=notes, duration_s=end_s), begun


def _kept_s(score: Score | None, prompt_s: float | None) -> float:
    if score is None or not len(score):
        raise ValueError("--task continue needs --midi with notes")
    return score.duration_s if prompt_s is None else min(prompt_s, score.duration_s)


def _default_task(score: Score | None, hole_s: tuple[float, float] | None, options: NoteOptions) -> str:
    if score is None:
        return "joint"
    return "infill" if hole_s is not None else "track" if options.instruments else "continue"


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
    told_ids(attributes)
    return attributes
