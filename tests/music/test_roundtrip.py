"""Notes -> tokens -> MIDI file -> tokens is the identity, and no token ever meets a mask."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap, num_frames_for
from lh_mm.music.events import MAX_EVENTS_PER_SLOT, Events, EventVocabulary, decode_events, encode_events, legalise
from lh_mm.music.grammar import legal_masks, unpack_masks
from lh_mm.music.midi_io import midi_bytes, read_midi
from lh_mm.music.score import NOTE_DTYPE, Score

VOCABULARY = EventVocabulary()


@st.composite
def scores(draw: st.DrawFn) -> Score:
    """Unruly pieces: few pitches and programs, times on and beside slot borders, notes past the end."""
    duration_s = draw(st.floats(0.05, 6.0))
    moments = st.one_of(
        st.floats(-0.1, duration_s + 0.5),
        st.integers(0, 60).map(lambda k: k / 12.5),
        st.integers(0, 400).map(lambda k: k / 75),
    )
    row = st.tuples(moments, st.floats(-0.1, 2.0), st.integers(60, 63), st.integers(0, 127), st.integers(-1, 1))
    rows = draw(st.lists(row, max_size=60))
    notes = np.zeros(len(rows), NOTE_DTYPE)
    for i, (start, length, pitch, velocity, program) in enumerate(rows):
        notes[i] = (start, start + length, 0, 0, pitch, velocity, max(program, 0), program < 0, 0)
    return Score(notes, TempoMap.constant(120.0), duration_s)


rates = st.sampled_from([12.5, 50.0, 75.0, 86.1328125])
tempo_maps = st.one_of(
    st.floats(25.0, 300.0).map(TempoMap.constant),
    st.lists(st.floats(0.2, 1.5), min_size=2, max_size=12).map(
        lambda gaps: TempoMap(np.arange(len(gaps), dtype=float), np.cumsum(gaps) - 0.1)
    ),
)


def assert_same(a: Events, b: Events) -> None:
    assert np.array_equal(a.ids, b.ids)
    assert np.array_equal(a.clocks, b.clocks)
    assert np.array_equal(a.onset_clocks, b.onset_clocks)


def choices_of(events: Events) -> list[int]:
    """The events with FRAME where a slot ends."""
    out: list[int] = []
    now = 0
    for clock, event_id in zip(events.clocks.tolist(), events.ids.tolist(), strict=True):
        out += [VOCABULARY.frame_id] * (clock - now) + [event_id]
        now = clock
    return out


def check_piece(score: Score, rate_hz: float, tempo_map: TempoMap | None = None, *, masks: bool = True) -> Events:
    """All identities of one piece, and the masks at each of its tokens; returns the tokens."""
    legal, _ = legalise(score, rate_hz)
    num_frames = num_frames_for(legal.duration_s, rate_hz)
    events = encode_events(legal, rate_hz, num_frames, VOCABULARY)
    decoded = decode_events(events.clocks, events.ids, rate_hz, num_frames, VOCABULARY, tempo_map)
    assert_same(events, encode_events(decoded, rate_hz, num_frames, VOCABULARY))
    if len(decoded):
        read = read_midi(midi_bytes(decoded, min_tick_rate_hz=8 * rate_hz))
        assert num_frames_for(read.duration_s, rate_hz) == num_frames
        assert_same(events, encode_events(read, rate_hz, num_frames, VOCABULARY))
    if masks:
        choices = np.array(choices_of(events), np.int64)
        legal_choices = unpack_masks(legal_masks(VOCABULARY, choices.tolist()), VOCABULARY)
        drawn = choices < VOCABULARY.size
        assert legal_choices[np.flatnonzero(drawn), choices[drawn]].all()
    return events


@settings(max_examples=150)
@given(scores(), rates, tempo_maps)
def test_any_piece_made_legal_survives_tokens_and_file(score: Score, rate_hz: float, tempo_map: TempoMap) -> None:
    check_piece(score, rate_hz, tempo_map)


@settings(max_examples=100)
@given(scores(), rates)
def test_making_legal_settles_at_once(score: Score, rate_hz: float) -> None:
    once, _ = legalise(score, rate_hz)
    twice, counts = legalise(once, rate_hz)
    assert np.array_equal(once.notes, twice.notes) and sum(counts.values()) == counts["notes"]
    assert set(once.notes["start_s"]) <= set(score.notes["start_s"])


def groove_files(sources: Path) -> list[bytes]:
    archive = next(sources.glob("groove/*.zip"))
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as folder:
        names = sorted(name for name in folder.namelist() if name.endswith(".mid"))
        return [folder.read(name) for name in names]


def check_files(files: list[bytes], *, masks: bool) -> None:
    for content in files:
        events = check_piece(read_midi(content), 75.0, masks=masks)
        assert len(events) and events.most_in_a_slot <= MAX_EVENTS_PER_SLOT


@pytest.mark.real_data
def test_sixty_real_pieces_survive(sources: Path) -> None:
    songs = sorted(sources.glob("pop909/POP909/*/*.mid"))
    check_files([path.read_bytes() for path in songs[::31]] + groove_files(sources)[::38], masks=True)


@pytest.mark.real_data
@pytest.mark.slow
def test_all_of_pop909_and_groove_survive(sources: Path) -> None:
    songs, grooves = sorted(sources.glob("pop909/POP909/*/*.mid")), groove_files(sources)
    assert (len(songs), len(grooves)) == (909, 1150)
    check_files([path.read_bytes() for path in songs] + grooves, masks=False)
