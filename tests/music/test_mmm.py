"""MMM: windows to tokens and back, holes, the grammar, and the attributes' formulas."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap
from lh_mm.music.bars import (
    DRUMS,
    BarTrack,
    Window,
    bar_lines,
    density_borders,
    durations,
    notes_a_bar,
    polyphony,
    thinned,
    window_of,
    window_starts,
    without_overlaps,
)
from lh_mm.music.mmm import (
    BAR_END,
    BAR_START,
    FILL_END,
    FILL_IN,
    FILL_START,
    FIRST,
    PIECE_START,
    SIZE,
    TRACK_START,
    Mmm,
    filled,
    in_order,
)  # fmt: skip
from lh_mm.music.mmm_grammar import MmmGrammar
from lh_mm.music.mmm_limits import Limits
from lh_mm.music.score import Meter, Score, make_notes

LINES = np.arange(5) * 48


def track(instrument: int, *notes: tuple[int, int, int]) -> BarTrack:
    return BarTrack(instrument, without_overlaps(np.array(notes, np.int64).reshape(-1, 3)))


def score(rows: list[dict[str, float | int | bool]], meters: tuple[Meter, ...] = (Meter(0.0, 4, 4),)) -> Score:
    tempo = TempoMap.constant(120.0)
    notes = make_notes(rows, tempo)
    return Score(notes, tempo, float(notes["end_s"].max()), meters, ("a", "b"))


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, list[tuple[int, int]]]:
    count = draw(st.sampled_from([4, 8]))
    widths = draw(st.lists(st.sampled_from([36, 48]), min_size=count, max_size=count))
    lines = np.concatenate([[0], np.cumsum(widths)])
    end = int(lines[-1])
    tracks = []
    for _ in range(draw(st.integers(1, 3))):
        instrument = draw(st.sampled_from([0, 38, 127, DRUMS]))
        longest = 1 if instrument == DRUMS else 120
        note = st.tuples(st.integers(0, end - 1), st.integers(1, longest), st.integers(0, 127))
        notes = draw(st.lists(note, max_size=12))
        tracks.append(track(instrument, *((on, min(on + long, end), pitch) for on, long, pitch in notes)))
    bars = st.tuples(st.integers(0, len(tracks) - 1), st.integers(0, count - 1))
    return Window(tuple(tracks), lines), draw(st.lists(bars, unique=True, max_size=5))


def same(a: Window, b: Window) -> bool:
    return len(a.tracks) == len(b.tracks) and all(
        x.instrument == y.instrument and np.array_equal(x.notes, y.notes)
        for x, y in zip(a.tracks, b.tracks, strict=True)
    )


@given(windows())
def test_a_window_comes_back(made: tuple[Window, list[tuple[int, int]]]) -> None:
    window, _ = made
    tokens = Mmm().encode(window)
    back, fills = Mmm().decode(tokens.ids, window.lines)
    assert same(back, window)
    assert not fills
    assert tokens.num_notes == sum(len(track.notes) for track in window.tracks)
    assert np.array_equal(Mmm().encode(back).ids, tokens.ids)


@given(windows())
def test_open_bars_are_filled_in_order_and_nothing_else_changes(made: tuple[Window, list[tuple[int, int]]]) -> None:
    window, holes = made
    before = [track.notes.copy() for track in window.tracks]
    ids = Mmm().encode(window, holes).ids.tolist()
    assert all(np.array_equal(a, track.notes) for a, track in zip(before, window.tracks, strict=True))
    assert ids.count(FILL_IN) == ids.count(FILL_START) == ids.count(FILL_END) == len(holes)
    first = ids.index(FILL_START) if holes else len(ids)
    assert FILL_IN not in ids[first:]
    _, fills = Mmm().decode(ids, window.lines)
    assert list(fills) == in_order(holes, range(len(window.tracks)))
    new = {hole: np.array([[window.lines[hole[1]], window.lines[hole[1]] + 1, 60]]) for hole in holes}
    for notes, whole in ((fills, filled(window, fills)), (new, filled(window, new))):
        for index, own in enumerate(window.tracks):
            bars = window.bar_of(own.notes[:, 0])
            outside = ~np.isin(bars, [bar for t, bar in holes if t == index])
            kept = whole.tracks[index].notes
            inside = np.isin(window.bar_of(kept[:, 0]), [bar for t, bar in holes if t == index])
            assert np.array_equal(kept[~inside], own.notes[outside])  # bit for bit
            assert inside.sum() == sum(len(found) for (t, _), found in notes.items() if t == index)
    for (index, bar), found in fills.items():
        own = window.tracks[index].notes
        held = own[(own[:, 0] >= window.lines[bar]) & (own[:, 0] < window.lines[bar + 1])].copy()
        held[:, 1] = np.minimum(held[:, 1], window.lines[bar + 1])
        assert np.array_equal(found, held)


@given(windows(), st.randoms(use_true_random=False))
def test_every_token_is_legal_and_what_is_drawn_can_be_read(
    made: tuple[Window, list[tuple[int, int]]], random: object
) -> None:
    window, holes = made
    grammar = MmmGrammar(Limits(tuple(window.lines.tolist())))
    for token in Mmm().encode(window, holes).ids.tolist():
        assert grammar.mask()[token], Mmm().name(token)
        grammar.push(token)
    assert grammar.may_end
    rng = np.random.default_rng(len(holes))
    grammar, drawn = MmmGrammar(Limits(tuple(LINES.tolist()), max_tracks=2)), []
    while not (grammar.may_end and rng.random() < 0.5) and len(drawn) < 3000:
        mask = grammar.mask()
        assert mask.any() or grammar.may_end
        if not mask.any():
            break
        chances = mask * np.where(np.arange(SIZE) >= FIRST["NOTE_ON"], 0.05, 1.0)
        drawn.append(int(rng.choice(SIZE, p=chances / chances.sum())))
        grammar.push(drawn[-1])
    back, _ = Mmm().decode(drawn, LINES)  # no problem in any of them
    assert len(back.tracks) == len(grammar.tracks)


def test_what_is_drawn_may_be_kept_from_leaving_bars_open() -> None:
    # A new track's open bars would be filled behind it, where nobody looks for them.
    window = Window((track(38, (0, 24, 40), (90, 100, 43)),), LINES)
    given = Mmm().encode(window, [(0, 1)], fill=False).ids.tolist()
    assert FILL_IN in given
    grammar = MmmGrammar(Limits(tuple(LINES.tolist()), may_open=False), given=len(given))
    for token in [*given, TRACK_START, FIRST["INST"] + 3, BAR_START]:
        grammar.push(token)
    assert not grammar.mask()[FILL_IN] and grammar.mask()[BAR_END]
    open_too = MmmGrammar(Limits(tuple(LINES.tolist())), given=len(given))
    for token in [*given, TRACK_START, FIRST["INST"] + 3, BAR_START]:
        open_too.push(token)
    assert open_too.mask()[FILL_IN]


def test_tokens_by_hand() -> None:
    window = Window((track(38, (0, 24, 40), (90, 100, 43)), track(DRUMS, (12, 13, 36))), LINES)
    tokens = Mmm().encode(window, [(0, 1)])
    assert [Mmm().name(token) for token in tokens.ids] == [
        "PIECE_START", "NUM_BARS=4",
        "TRACK_START", "INST=38", "DENSITY=0", "MIN_POLYPHONY=1", "MAX_POLYPHONY=1", "MIN_DURATION=2",
        "MAX_DURATION=4", "BAR_START", "NOTE_ON=40", "TIME_DELTA=24", "NOTE_OFF=40", "BAR_END",
        "BAR_START", "FILL_IN", "BAR_END", "BAR_START", "BAR_END", "BAR_START", "BAR_END", "TRACK_END",
        "TRACK_START", "INST=drums", "DENSITY=0", "BAR_START", "TIME_DELTA=12", "NOTE_ON=36", "BAR_END",
        *["BAR_START", "BAR_END"] * 3, "TRACK_END",
        "FILL_START", "TIME_DELTA=42", "NOTE_ON=43", "TIME_DELTA=6", "NOTE_OFF=43", "FILL_END",
    ]  # fmt: skip
    assert tokens.num_notes == 3
    at = tokens.ids.tolist().index(BAR_END)
    assert (tokens.ticks[0], tokens.ticks[at], tokens.ticks[-1]) == (0, 48, 96)
    # Drawn in another order and with nothing told.
    turned = Mmm().encode(window, order=[1, 0], controls=[{}, {}]).ids.tolist()
    assert turned[2:6] == [1, FIRST["INST"] + DRUMS, 3, FIRST["TIME_DELTA"] + 11]
    for controls, message in (
        ({"DENSTY": 1}, "unknown control DENSTY"), ({"DENSITY": 12}, r"DENSITY should lie in 0\.\.9, got 12"),
        ({"MIN_POLYPHONY": 0}, r"MIN_POLYPHONY should lie in 1\.\.10, got 0"),
        ({"MAX_POLYPHONY": 2, "MIN_POLYPHONY": 3}, "MIN_POLYPHONY should be at most MAX_POLYPHONY, got 3 above 2"),
        ({"MIN_DURATION": 5, "MAX_DURATION": 0}, "MIN_DURATION should be at most MAX_DURATION, got 5 above 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Mmm().encode(window, controls=[controls, {}])
    with pytest.raises(ValueError, match="no bar 1 of track 1"):
        Mmm().encode(window, [(1, 1)], order=[0])
    with pytest.raises(ValueError, match="no bar 4 of track 0"):
        Mmm().encode(window, [(0, 4)])
    with pytest.raises(ValueError, match="4 or 8 bars, got 3"):
        Mmm().encode(Window(window.tracks, LINES[:-1]))


def test_what_is_not_legal_is_an_error_or_counted() -> None:
    ids = [PIECE_START, FIRST["NUM_BARS"], FIRST["NOTE_ON"] + 60]
    with pytest.raises(ValueError, match=r"token 2 \(NOTE_ON=60\)"):
        Mmm().decode(ids, LINES)
    problems: dict[str, int] = {}
    Mmm().decode(ids, LINES, problems)
    assert problems == {"illegal": 1, "unfinished": 1}
    whole = Mmm().encode(Window((track(0, (0, 4, 60)),), LINES)).ids
    with pytest.raises(ValueError, match="end too early"):
        Mmm().decode(whole[:-1], LINES)
    with pytest.raises(ValueError, match="4 or 8 bars, got 2"):
        MmmGrammar(Limits(tuple(LINES[:3].tolist())))


def test_a_bundle_holds_the_densities() -> None:
    mmm = Mmm({38: density_borders([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])})
    assert mmm.densities[38] == (2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert Mmm.from_json(mmm.to_json()) == mmm
    with pytest.raises(ValueError, match="MMM's vocabulary of 485"):
        Mmm.from_json('{"kind": "mmm", "size": 3}')
    assert json.loads(mmm.to_json())["steps_per_beat"] == 12
    old = '{"kind": "mmm", "size": 485, "densities": {}}'  # bundles before the grid was said
    assert Mmm.from_json(old) == Mmm()
    with pytest.raises(ValueError, match="steps_per_beat of mmm tokens is 24, this lh_mm knows 12"):
        Mmm.from_json(old.replace("{}", '{}, "steps_per_beat": 24'))
    window = Window((track(38, *((i * 4, i * 4 + 2, 40) for i in range(12))),), LINES)
    assert mmm.controls_of(window.tracks[0], window)["DENSITY"] == 9  # 12 notes in one bar, above all borders
    assert Mmm().controls_of(window.tracks[0], window)["DENSITY"] == 8


def test_a_note_held_through_open_bars_ends_before_the_first() -> None:
    window = Window((track(0, (40, 110, 60), (120, 130, 60)),), LINES)
    ids = Mmm().encode(window, [(0, 1), (0, 2)]).ids.tolist()
    back, fills = Mmm().decode(ids, LINES)
    assert back.tracks[0].notes.tolist() == [[40, 48, 60]]
    assert fills[(0, 2)].tolist() == [[120, 130, 60]]
    ids = Mmm().encode(Window((track(0, (40, 110, 60), (150, 160, 60)),), LINES), [(0, 1), (0, 2)]).ids.tolist()
    assert Mmm().decode(ids, LINES)[0].tracks[0].notes.tolist() == [[40, 48, 60], [150, 160, 60]]


def test_a_note_held_through_open_bars_that_ends_behind_them_stays_whole() -> None:
    def shown(note: tuple[int, int, int], *bars: int) -> list[list[int]]:
        ids = Mmm().encode(Window((track(0, note),), LINES), [(0, bar) for bar in bars]).ids
        back, fills = Mmm().decode(ids, LINES)
        assert not any(len(notes) for notes in fills.values())
        found: list[list[int]] = back.tracks[0].notes.tolist()
        return found

    assert shown((40, 110, 60), 1) == [[40, 110, 60]]
    assert shown((40, 150, 60), 1, 2) == [[40, 150, 60]]
    assert shown((40, 96, 60), 1) == [[40, 48, 60]]  # it ends with the bar
    assert shown((40, 150, 60), 1, 3) == [[40, 144, 60]]  # whole as far as the bar that it ends in


def test_windows_reach_the_end() -> None:
    assert window_starts(4, 2, 2) == [0, 2]
    assert window_starts(5, 4, 4) == [0, 1]
    assert window_starts(9, 4, 2) == [0, 2, 4, 5]
    assert window_starts(2, 4, 2) == [0]


def test_bars_follow_meters_and_upbeats() -> None:
    rows = [{"start_beat": beat, "end_beat": beat + 1, "pitch": 60} for beat in (-1.0, 0.0, 4.0, 7.0)]
    piece = score(rows, (Meter(0.0, 4, 4), Meter(4.0, 3, 4)))
    assert bar_lines(piece).tolist() == [-4.0, 0.0, 4.0, 7.0, 10.0]
    silent = score(rows[:2], (Meter(0.0, 4, 4), Meter(40.0, 3, 4)))
    assert bar_lines(silent).tolist() == [-4.0, 0.0, 4.0]  # no bars for a meter behind the last note
    window = window_of(piece, 0, 4)
    assert window.lines.tolist() == [0, 48, 96, 132, 168]
    assert window.first_beat == -4.0
    assert window.tracks[0].notes[:, 0].tolist() == [36, 48, 96, 132]
    longer = window_of(piece, 2, 4)
    assert longer.lines.tolist() == [0, 36, 72, 108, 144]


def test_notes_are_cut_at_the_window_and_at_the_next_of_their_pitch() -> None:
    rows = [
        {"start_beat": 0.0, "end_beat": 3.0, "pitch": 60},
        {"start_beat": 1.0, "end_beat": 9.0, "pitch": 60},
        {"start_beat": 1.0, "end_beat": 2.0, "pitch": 60},
        {"start_beat": 1.02, "end_beat": 1.5, "pitch": 36, "drum": True, "track": 1},
    ]
    window = window_of(score(rows), 0, 1)
    assert window.tracks[0].notes.tolist() == [[0, 12, 60], [12, 48, 60]]
    assert (window.tracks[1].instrument, window.tracks[1].notes.tolist()) == (DRUMS, [[12, 13, 36]])


def test_attributes_by_hand() -> None:
    # One voice for 12 ticks, two for 4, three for 2, and silence, which does not count.
    three = track(0, (0, 18, 60), (12, 18, 64), (16, 18, 67), (40, 41, 60))
    assert polyphony(three) == (1, 2)  # 19 ticks; elements 3 and 16 of 13 ones, 4 twos, 2 threes
    assert durations(track(0, (0, 12, 60), (12, 18, 60), (20, 23, 60), (24, 72, 60))) == (2, 5)
    assert durations(track(DRUMS, (0, 1, 36))) is None
    assert polyphony(track(0)) is None
    window = Window((track(0, (0, 3, 60), (10, 12, 60), (20, 21, 60), (100, 101, 60), (101, 102, 61)),), LINES)
    assert notes_a_bar(window.tracks[0], window) == 3  # 5 notes in 2 bars: 2.5, rounded up


def test_thinned_notes_sound_at_most_so_many_at_once() -> None:
    chord = np.array([[0, 24, 60], [0, 24, 64], [0, 12, 67], [12, 24, 72], [24, 36, 48]], np.int64)
    assert thinned(chord, 1).tolist() == [[0, 12, 67], [12, 24, 72], [24, 36, 48]]  # highest first; then there is room
    assert thinned(chord, 2).tolist() == [[0, 24, 64], [0, 12, 67], [12, 24, 72], [24, 36, 48]]
    assert thinned(chord, 3).tolist() == chord.tolist()
    rng = np.random.default_rng(0)
    on = rng.integers(0, 90, 60)
    notes = without_overlaps(np.stack([on, on + rng.integers(1, 40, 60), rng.integers(40, 80, 60)], 1))
    for voices in (1, 2, 4):
        few = thinned(notes, voices)
        assert max((few[:, 0] <= t).sum() - (few[:, 1] <= t).sum() for t in range(140)) <= voices
        assert {tuple(row) for row in few.tolist()} <= {tuple(row) for row in notes.tolist()}
