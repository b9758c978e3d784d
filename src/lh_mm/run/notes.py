"""What a bundle of notes alone is asked by `lh generate`: tasks and flags to compositions, and what to say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lh_mm.generate.sampling import Sampling
from lh_mm.music.bar_score import bars_between
from lh_mm.music.bars import bar_lines
from lh_mm.music.mmm import Mmm
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose import Beginning, beginning_of, compose_tried, tempo_of
from lh_mm.run.compose_bars import BarAsk, NoteOptions, Writing, bars_filled, tracks_added, write_together
from lh_mm.run.note_flags import task_of

CONTINUE_S = 10.0
"""Seconds by which a continuation goes on where no length is asked for."""
MAX_TOKENS_PER_S = 400
"""Drawn at most for a second of music of a given length: a model that only adds notes to one chord comes to an end."""

Made = tuple[Score, dict[str, Any]]
"""Notes, and what was done for them."""


def make_notes(bundle: Bundle, task: str | None, score: Score | None, **asked: Any) -> Made:
    """One piece, asked as `make_samples` is."""
    return make_samples(bundle, task, score, 1, **asked)[0]


def make_samples(
    bundle: Bundle,
    task: str | None,
    score: Score | None,
    num_samples: int,
    *,
    duration_s: float | None = None,
    prompt_s: float | None = None,
    hole_s: tuple[float, float] | None = None,
    controls: Mapping[str, str] | None = None,
    sampling: Sampling = Sampling(top_p=0.95),  # noqa: B008 (frozen)
    guidance: float = 1.0,
    seed: int = 0,
    options: NoteOptions = NoteOptions(),  # noqa: B008 (frozen)
) -> list[Made]:
    """Several answers to one request, written in one batch: that of `seed`, of `seed + 1`, and so on.

    Args:
        bundle: of notes alone.
        task: `joint` from nothing, `continue`; with MMM's tokens also `infill` (of bars) and `track` (one more).
            By default what the input allows.
        score: notes to read.
        num_samples: how many, 1 or more.
        duration_s: length of the whole.
        prompt_s: continue: how much of the input is kept, by default all; with MMM's tokens the bars that end by then.
        hole_s: infill: start and end; every bar it touches is written anew.
        controls: of the piece, by name.
        sampling: how tokens are drawn.
        guidance: above 1 follows controls and attributes more closely.
        seed: the same seed gives the same notes, alone or among others.
        options: instruments, tracks, attributes and caps.

    Raises:
        ValueError: for a task that the bundle's tokens cannot do, that lacks its input, or has no use for a flag.
    """
    if num_samples < 1:
        raise ValueError(f"--samples should be 1 or more, got {num_samples}")
    asked = dict(controls or {})
    task = task_of(
        bundle.experiment.sequence.kind, task, score, options, duration_s=duration_s, prompt_s=prompt_s, hole_s=hole_s,
        guides=bool(asked), guidance=guidance,
    )  # fmt: skip
    seeds = range(seed, seed + num_samples)
    if isinstance(bundle.vocabulary, Mmm):
        asks = [BarAsk(options, asked, sampling, each, guidance) for each in seeds]
        pieces = [_bars(bundle, task, score, ask, duration_s, prompt_s, hole_s) for ask in asks]
        return [
            (
                one.score,
                {"task": task, "num_tokens": one.num_drawn, "num_notes": len(one.score), "windows_cut": one.num_cut},
            )
            for one in write_together(bundle, pieces, asks[0])
        ]
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
    made = compose_tried(
        bundle, [replace(begun, seed=each) for each in seeds], sampling, tries=options.tries,
        max_tokens=max(1, longest), guidance=guidance,
    )  # fmt: skip
    return [
        (
            one.score,
            {
                "task": task, "num_tokens": one.num_drawn, "num_notes": len(one.score), "ended": one.ended,
                "tries": one.tries,
            },
        )
        for one in made
    ]  # fmt: skip


def _bars(
    bundle: Bundle, task: str, score: Score | None, ask: BarAsk, duration_s: float | None, prompt_s: float | None,
    hole_s: tuple[float, float] | None,
) -> Writing:  # fmt: skip
    """A piece of MMM's tokens, as `make_samples` is asked for it."""
    if task == "joint":
        made = yield from tracks_added(bundle, None, tempo_of(ask.controls), ask)
        lines = bar_lines(made)
        begun = len(lines) - 1
        end = begun if duration_s is None or not len(made) else bars_between(made, 0.0, duration_s)[-1] + 1
        if end < begun:
            return made.crop(0.0, float(made.tempo_map.to_seconds(lines[end])))
        if end == begun:
            return made
        return (yield from bars_filled(bundle, made, range(begun, end), ask))
    if task == "track":
        if score is None or not ask.options.instruments:
            raise ValueError("--task track needs --midi and --instrument, what is to be added")
        return (yield from tracks_added(bundle, score, score.tempo_map, ask))
    if task == "infill":
        if score is None or hole_s is None:
            raise ValueError("--task infill needs --midi and --hole-s START:END, what is to be written anew")
        return (yield from bars_filled(bundle, score, bars_between(score, *hole_s), ask))
    kept_s = _kept_s(score, prompt_s)
    assert score is not None
    score, begun = (score, len(bar_lines(score)) - 1) if prompt_s is None else _whole_bars(score, kept_s)
    until_s = kept_s + CONTINUE_S if duration_s is None else duration_s
    end = bars_between(score, 0.0, until_s)[-1] + 1
    if end <= begun:
        raise ValueError(f"--seconds {until_s:g} leaves no bar to continue behind {kept_s:g} s")
    return (yield from bars_filled(bundle, score, range(begun, end), ask))


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
