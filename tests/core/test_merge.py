"""Properties of the merged sequence that hold for every piece, delay and layout."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.infill import merge_infill
from lh_mm.core.merge import END, FRAME, NO_TARGET, ZERO, AudioStream, EventStream, Kind, May, merge
from lh_mm.core.split import split


@st.composite
def pieces(draw, roles=("given", "generated")):
    num_frames = draw(st.integers(1, 12))
    num_codebooks = draw(st.sampled_from([0, 1, 2, 4, 8]))
    events, generated = [], False
    for i in range(draw(st.integers(0, 3))):
        role = draw(st.sampled_from(roles))
        if role == "generated" and generated:
            role = "given"
        generated |= role == "generated"
        clocks = np.sort(np.array(draw(st.lists(st.integers(0, num_frames - 1), max_size=8)), np.int64))
        ids = np.arange(len(clocks)) + 100 * i
        events.append(EventStream(f"e{i}", role, draw(st.integers(-3, 3)), clocks, ids))
    audio = []
    if num_codebooks:
        for a in range(draw(st.integers(1, 2))):
            codes = np.arange(num_frames * num_codebooks).reshape(num_frames, num_codebooks) + 1000 * a
            audio.append(AudioStream(f"a{a}", draw(st.sampled_from(roles)), codes))
    layout = draw(st.sampled_from(["delay", "parallel"]))
    return events, audio, num_frames, layout, draw(st.integers(0, 2)), draw(st.booleans())


@given(pieces(), st.sampled_from(["merged", "prefix"]))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_split_is_the_inverse_of_merge(piece, order) -> None:
    events, audio, num_frames, layout, ahead, asked = piece
    merged = merge(events, audio, num_frames, layout=layout, ahead=ahead, length_asked=asked, order=order)
    given = [t.role == "given" for t in audio]
    parts = split(
        merged,
        tuple("parallel" if is_given else layout for is_given in given),
        tuple(ahead * is_given for is_given in given),
    )
    for stream, clocks, ids in zip(events, parts.clocks, parts.ids, strict=True):
        np.testing.assert_array_equal(stream.clocks, clocks)
        np.testing.assert_array_equal(stream.ids, ids)
    for track, codes in zip(audio, parts.codes, strict=True):
        np.testing.assert_array_equal(track.codes, codes)


@given(pieces(), st.data())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_a_window_equals_building_the_whole_piece_and_cutting(piece, data) -> None:
    events, audio, num_frames, layout, ahead, asked = piece
    whole = merge(events, audio, num_frames, layout=layout, ahead=ahead, length_asked=asked)
    start = data.draw(st.integers(whole.first_slot, whole.last_slot))
    end = data.draw(st.integers(start + 1, whole.last_slot + 1))
    part = merge(events, audio, num_frames, layout=layout, ahead=ahead, length_asked=asked, window=(start, end))
    inside = (whole.slot >= start) & (whole.slot < end) & (whole.kind != Kind.BOS)
    for field in fields(whole):
        expected = getattr(whole, field.name)
        if not isinstance(expected, np.ndarray):
            continue
        np.testing.assert_array_equal(getattr(part, field.name)[1:-1], expected[inside][:-1], err_msg=field.name)
    # BOS predicts the window's first position as its predecessor did, unless it is the piece's own BOS.
    before_first = np.flatnonzero(inside)[0] - 1
    assert part.event_target[0] == whole.event_target[before_first]
    np.testing.assert_array_equal(part.code_target[0], whole.code_target[before_first])
    if end <= whole.last_slot:
        assert part.event_target[-1] == NO_TARGET
        assert (part.code_target[-1] == ZERO).all()
    assert part.is_start == (start == whole.first_slot)


def test_a_window_drops_the_offs_of_notes_that_began_before_it() -> None:
    stream = EventStream(
        "midi", "generated", 0, np.array([0, 2, 3]), np.array([60, 190, 61]), onset_clocks=np.array([0, 0, 3])
    )
    part = merge([stream], [], 5, window=(1, 5))
    assert part.event_id[part.kind == Kind.EVENT].tolist() == [61]
    assert 190 not in part.event_target


@given(pieces())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_every_target_is_a_choice_and_ends_once(piece) -> None:
    events, audio, num_frames, layout, ahead, asked = piece
    merged = merge(events, audio, num_frames, layout=layout, ahead=ahead, length_asked=asked)
    for target, bit in ((FRAME, May.FRAME), (END, May.END)):
        assert (merged.may[merged.event_target == target] & bit).all()
    assert (merged.may[merged.event_target >= 0] & May.EVENT).all()
    assert (merged.event_target == END).sum() == (0 if merged.length_known else 1)
    if merged.length_known:
        assert not (merged.may & May.END).any()
    slots = merged.slot[merged.kind == Kind.FRAME]
    np.testing.assert_array_equal(slots, np.arange(merged.first_slot, merged.last_slot + 1))


@given(pieces(), st.data())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_infill_holds_everything_once(piece, data) -> None:
    events, audio, num_frames, layout, _, _ = piece
    events = [EventStream(s.name, s.role, 0, s.clocks, s.ids) for s in events]
    if not any(s.role == "generated" for s in (*events, *audio)):
        return
    a = data.draw(st.integers(0, num_frames - 1))
    b = data.draw(st.integers(a + 1, num_frames))
    holes = [(a, b)]
    if b + 1 < num_frames:
        holes.append((b + 1, num_frames))
    merged = merge_infill(events, audio, num_frames, holes, layout=layout)
    main = np.arange(len(merged)) < np.flatnonzero(merged.kind == Kind.FILL)[0]
    assert (merged.event_target[main] == NO_TARGET).all()
    assert (merged.code_target[main] == ZERO).all()
    parts = split(merged, tuple("parallel" if t.role == "given" else layout for t in audio))
    for stream, clocks, ids in zip(events, parts.clocks, parts.ids, strict=True):
        np.testing.assert_array_equal(stream.clocks, clocks)
        np.testing.assert_array_equal(stream.ids, ids)
    for track, codes in zip(audio, parts.codes, strict=True):
        np.testing.assert_array_equal(track.codes, codes)


def test_offs_behind_a_hole_move_to_its_last_slot_in_true_order() -> None:
    stream = EventStream(
        "midi", "generated", 0,
        clocks=np.array([1, 1, 2, 3, 5, 7]), ids=np.array([1, 2, 3, 11, 12, 13]),
        onset_clocks=np.array([1, 1, 2, 1, 1, 2]),
    )  # fmt: skip
    merged = merge_infill([stream], [], 6, [(1, 3)])
    hole = merged.event_id[np.flatnonzero(merged.kind == Kind.FILL)[0] :]
    assert hole[hole >= 0].tolist() == [1, 2, 3, 11, 12, 13]
    assert merged.clock[merged.event_id == 12].tolist() == [2]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"window": (0, 0)}, "window"),
        ({"window": (-1, 2)}, "window"),
    ],
)
def test_bad_windows_are_refused(kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        merge([], [], 4, **kwargs)


@given(pieces())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_a_prefix_moves_given_events_and_nothing_else(piece) -> None:
    events, audio, num_frames, layout, ahead, asked = piece
    merged, prefix = (
        merge(events, audio, num_frames, layout=layout, ahead=ahead, length_asked=asked, order=order)
        for order in ("merged", "prefix")
    )
    given = np.isin(np.arange(len(events)), [i for i, s in enumerate(events) if s.role == "given"])
    is_given = [(m.stream >= 0) & given[m.stream] if len(events) else np.zeros(len(m), bool) for m in (merged, prefix)]
    count = int(is_given[1].sum())
    assert is_given[1][1 : 1 + count].all()
    assert (prefix.slot[: 1 + count] == prefix.slot[0]).all()
    for name in ("kind", "slot", "clock", "event_id", "codes", "frame"):
        np.testing.assert_array_equal(
            getattr(merged, name)[~is_given[0]], getattr(prefix, name)[~is_given[1]], err_msg=name
        )
    assert sorted(merged.event_target.tolist()) == sorted(prefix.event_target.tolist())
    assert (merged.code_target != ZERO).sum() == (prefix.code_target != ZERO).sum()
    if len(prefix.slot) > 1 and prefix.first_slot + 1 <= prefix.last_slot:
        with pytest.raises(ValueError, match="built whole"):
            merge(events, audio, num_frames, layout=layout, ahead=ahead, order="prefix",
                  window=(prefix.first_slot, prefix.first_slot + 1))  # fmt: skip


def test_two_generated_event_streams_are_refused() -> None:
    empty = np.zeros(0, np.int64)
    streams = [EventStream(name, "generated", 0, empty, empty) for name in ("a", "b")]
    with pytest.raises(ValueError, match="at most one"):
        merge(streams, [], 4)
