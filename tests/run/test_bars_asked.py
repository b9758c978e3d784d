"""Which windows are asked of a model of bars, without one: what it hears, where a piece goes on, its noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.generate.sampling import Sampling
from lh_mm.music.bars import BarTrack
from lh_mm.music.mmm import Mmm
from lh_mm.music.score import Score, make_notes
from lh_mm.run import compose_bars, notes
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose_bars import BarAsk, NoteOptions, Written, bars_filled, tracks_added, write_together
from lh_mm.run.compose_windows import WindowJob, WindowMade

TEMPO = TempoMap.constant(120.0)  # a bar is 2 s
NEW = 99


def piece(num_bars: int = 8) -> Score:
    """A note of each beat in two tracks, pitch 40 + its bar."""
    rows = [
        {"start_beat": beat, "end_beat": beat + 1, "pitch": 40 + beat // 4, "program": 30 * track, "track": track}
        for track in (0, 1)
        for beat in range(4 * num_bars)
    ]
    return Score(make_notes(rows, TEMPO), TEMPO, 2.0 * num_bars, tracks=("a", "b"))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[WindowJob]]:
    """Windows that were asked for; each hole and each new track gets one note of pitch NEW a bar."""
    seen: list[WindowJob] = []

    def written(bundle: Any, asked: Sequence[WindowJob], *rest: Any, **more: Any) -> tuple[list[WindowMade], float]:
        (job,) = asked
        seen.append(job)
        lines = job.window.lines
        fills = {hole: np.array([[lines[hole[1]], lines[hole[1]] + 6, NEW]]) for hole in job.holes}
        track = np.array([[line, line + 6, NEW] for line in lines[:-1]])
        tracks = () if job.new_track is None else (BarTrack(job.new_track[0], track),)
        return [WindowMade(fills, tracks, 1, 9, 0)], 0.0

    monkeypatch.setattr(compose_bars, "fill_windows", written)
    yield seen


def bundle(bars: int = 4) -> Bundle:
    sequence = SimpleNamespace(bars=bars, kind="mmm")
    found = SimpleNamespace(
        experiment=SimpleNamespace(sequence=sequence), vocabulary=Mmm(), manifest={"name": "x"}
    )  # fmt: skip
    return cast(Bundle, found)


def ask(**options: Any) -> BarAsk:
    return BarAsk(NoteOptions(**options), {}, Sampling(), 5)


def filled(length: int, score: Score, bars: range) -> Written:
    (made,) = write_together(bundle(length), [bars_filled(bundle(length), score, bars, ask())], ask())
    return made


@pytest.mark.parametrize("bars", [range(8), range(1, 6), range(2), range(3, 8), range(6, 8), range(2, 3)])
@pytest.mark.parametrize("length", [4, 8])
def test_no_bar_is_heard_that_is_yet_to_be_replaced(jobs: list[WindowJob], bars: range, length: int) -> None:
    made = filled(length, piece(), bars).score
    for job in jobs:
        first = round(job.window.first_beat / 4)
        open_bars = {first + bar for _, bar in job.holes}
        assert {track for track, _ in job.holes} == {0, 1}
        for track in job.window.tracks:
            for start, _, pitch in track.notes.tolist():
                bar = first + int(job.window.bar_of(np.array([start]))[0])
                # Of the bars to be replaced only those are heard that have been written.
                assert bar in open_bars or bar not in bars or pitch == NEW
    written = made.notes[made.notes["pitch"] == NEW]
    assert sorted(set((written["start_beat"] // 4).astype(int).tolist())) == list(bars)
    kept = made.notes[made.notes["pitch"] != NEW]
    assert set((kept["start_beat"] // 4).astype(int).tolist()) == set(range(8)) - set(bars)


def test_each_window_hears_what_the_one_before_wrote(jobs: list[WindowJob]) -> None:
    made = filled(4, piece(), range(8))
    assert (made.num_drawn, made.num_cut) == (3 * 9, 0)
    places = [(round(job.window.first_beat / 4), sorted({bar for _, bar in job.holes})) for job in jobs]
    assert places == [(0, [0, 1, 2, 3]), (2, [2, 3]), (4, [2, 3])]


def test_a_window_knows_what_sounds_on_into_it(jobs: list[WindowJob]) -> None:
    long = make_notes([{"start_beat": 1, "end_beat": 20, "pitch": 30, "program": 30, "track": 1}], TEMPO)
    score = Score(np.concatenate([piece().notes, long]), TEMPO, 16.0, tracks=("a", "b"))
    filled(4, score, range(4, 6))
    (job,) = jobs
    first = 12 * round(job.window.first_beat)
    assert [12 - first, 240 - first, 30] in job.notes[1].tolist()
    assert all(start >= -12 and end > 0 for start, end, pitch in job.notes[0].tolist())


def test_no_two_windows_draw_the_same_noise(jobs: list[WindowJob]) -> None:
    own = ask(instruments=(3, 7))
    write_together(bundle(), [tracks_added(bundle(), piece(), TEMPO, own)], own)
    notes.make_notes(bundle(), "joint", None, duration_s=20.0, seed=5, options=NoteOptions(instruments=(0, 3)))
    notes.make_notes(bundle(), "continue", piece(), seed=5)
    seeds = [job.seed for job in jobs]
    assert len(seeds) > 10
    # The three requests may share draws with each other, for they ask the same seed; their own windows may not.
    assert len({job.seed for job in jobs[:6]}) == 6
    other = BarAsk(NoteOptions(), {}, Sampling(), 6)
    assert not {other.seed_of(0, n) for n in range(9)} & set(seeds)


def test_a_continuation_goes_on_at_a_bar_line_and_cuts_no_held_note(jobs: list[WindowJob]) -> None:
    held = make_notes([{"start_beat": 6, "end_beat": 12, "pitch": 30, "program": 0, "track": 0}], TEMPO)
    score = Score(np.concatenate([piece().notes, held]), TEMPO, 16.0, tracks=("a", "b"))
    made, about = notes.make_notes(bundle(), "continue", score, prompt_s=4.9, duration_s=8.0)
    # Two bars end by 4.9 s; the third is written whole, and the note that is held into it stays as it was.
    assert about["task"] == "continue"
    assert made.notes[made.notes["pitch"] == 30]["end_beat"].tolist() == [12.0]
    pitches: dict[int, set[int]] = {bar: set() for bar in range(4)}
    for note in made.notes:
        pitches[int(note["start_beat"] // 4)].add(int(note["pitch"]))
    assert pitches == {0: {40}, 1: {30, 41}, 2: {NEW}, 3: {NEW}}
    with pytest.raises(ValueError, match=r"--prompt-s 1.5 holds no whole bar"):
        notes.make_notes(bundle(), "continue", score, prompt_s=1.5)
