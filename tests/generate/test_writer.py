"""The writer against `merge`: forced with a piece's true tokens it writes that piece and offers those choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.infill import merge_infill
from lh_mm.core.merge import END, FRAME, NO_TARGET, UNGENERATED, ZERO, AudioStream, EventStream, Kind, Merged, merge
from lh_mm.core.streams import SequenceSpec, StreamSpec, length_bucket
from lh_mm.data.masks import event_masks
from lh_mm.generate.request import Request
from lh_mm.generate.writer import CLOCK, CODES, EVENT, FEATURE, HOLE, KIND, SLOT, STREAM, Ask, Writer
from lh_mm.music.grammar import Grammar
from lh_mm.music.vocabulary import DRUM_ON, NOTE_OFF, NOTE_ON, VELOCITY, EventVocabulary

VOCABULARY = EventVocabulary(velocity_bins=2)
RATE_HZ = 10.0


def spec_of(tracks: int = 1, codebooks: int = 2) -> SequenceSpec:
    streams = [StreamSpec("midi", "midi", VOCABULARY.size), StreamSpec("context", "midi", VOCABULARY.size)]
    streams += [StreamSpec(f"track{i}", "codes", 5, codebooks) for i in range(tracks)]
    return SequenceSpec(tuple(streams), RATE_HZ)


def music(rng: np.random.Generator, num_frames: int, num_notes: int, name: str, role: Any, delay: int) -> EventStream:
    """A few legal notes of two programs and drums, as tokens in canonical order."""
    groups: list[tuple[tuple[int, ...], list[int], int]] = []  # order, tokens, onset
    busy: dict[tuple[int, int], int] = {}
    for on in np.sort(rng.integers(0, num_frames, num_notes)).tolist():
        program, pitch = int(rng.integers(-1, 2)), int(rng.integers(60, 63))
        if busy.get((program, pitch), -1) >= on:
            continue
        start = DRUM_ON if program < 0 else NOTE_ON
        tokens = [VOCABULARY.program_id(program), start + pitch, VELOCITY + int(rng.integers(2))]
        groups.append(((on, 1, program, pitch, 0), tokens, on))
        off = on
        if program >= 0:
            off = int(min(num_frames - 1, on + rng.integers(0, 5)))
            key = (off, 1 if off == on else 0, program, pitch, 1)
            groups.append((key, [VOCABULARY.program_id(program), NOTE_OFF + pitch], on))
        busy[program, pitch] = off
    groups.sort(key=lambda group: group[0])
    flat = [(key[0], token, on) for key, tokens, on in groups for token in tokens]
    clocks, ids, onsets = (np.array([row[i] for row in flat], np.int64) for i in range(3))
    return EventStream(name, role, delay, clocks, ids, onsets)


def forced(writer: Writer, merged: Merged, masks: np.ndarray, free_from: int = 0) -> None:
    """Answer with what stands in `merged`, checking every ask.

    `free_from`: the first ask may only come at this position (behind a prompt).
    """
    truth = replace(
        merged, codes=merged.codes.reshape(len(merged), -1), code_target=merged.code_target.reshape(len(merged), -1)
    )
    asks = writer.run()
    seen, asked_events, asked_codes = 0, [], []
    answer: Any = None
    while True:
        try:
            ask: Ask = asks.send(answer)
        except StopIteration:
            break
        check_positions(ask.positions, truth, seen)
        seen += len(ask.positions)
        at = seen - 1
        if ask.mask is not None:
            asked_events.append(at)
            assert np.array_equal(ask.mask, masks[at]), at
            target = int(truth.event_target[at])
            answer = {FRAME: VOCABULARY.frame_id, END: VOCABULARY.end_id}.get(target, target)
            assert ask.mask[answer]
        else:
            assert ask.entries is not None
            asked_codes.append(at)
            # Entries that are drawn are exactly those with a target, but for the prompt's.
            assert np.array_equal(ask.entries.ravel(), truth.code_target[at] != ZERO) or at < free_from
            answer = truth.codes[at + 1].reshape(ask.entries.shape)
    check_positions(writer.rest, truth, seen)
    assert seen + len(writer.rest) == len(truth)
    late = np.arange(len(truth)) >= free_from
    assert asked_events == np.flatnonzero((truth.event_target != NO_TARGET) & late).tolist()
    has_codes = (truth.code_target != ZERO).any(1)
    assert [i for i in asked_codes if i >= free_from] == np.flatnonzero(has_codes & late).tolist()


def check_positions(positions: Sequence[Sequence[int]], truth: Merged, start: int) -> None:
    for i, position in enumerate(positions, start):
        expected = [truth.kind[i], truth.slot[i], truth.clock[i], truth.event_id[i], truth.stream[i]]
        assert [position[c] for c in (KIND, SLOT, CLOCK, EVENT, STREAM)] == [int(x) for x in expected], i
        assert position[HOLE] == (length_bucket(int(truth.hole[i])) if truth.hole[i] else 0)
        assert position[FEATURE] == truth.frame[i]
        assert position[CODES:] == truth.codes[i].tolist(), i


def unpacked(masks: np.ndarray) -> np.ndarray:
    return np.unpackbits(masks, axis=-1, count=VOCABULARY.num_choices).astype(bool)


TASKS = {
    "joint": ("generated", "absent", "generated"),
    "audio_only": ("absent", "absent", "generated"),
    "midi_only": ("generated", "absent", "absent"),
    "midi_to_audio": ("given", "absent", "generated"),
    "audio_to_midi": ("generated", "absent", "given"),
    "accompany": ("generated", "given", "generated"),
    "accompany_sound": ("generated", "given", "given"),
}


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    task=st.sampled_from(sorted(TASKS)),
    seed=st.integers(0, 2**31),
    num_frames=st.integers(1, 12),
    num_notes=st.integers(0, 14),
    codebooks=st.sampled_from([1, 2, 4]),
    delay=st.integers(-3, 3),
    asked=st.booleans(),
    layout=st.sampled_from(["delay", "parallel"]),
    ahead=st.integers(0, 1),
    order=st.sampled_from(["merged", "prefix"]),
)
def test_writes_what_merge_builds_and_offers_the_same_choices(
    task: str, seed: int, num_frames: int, num_notes: int, codebooks: int, delay: int, asked: bool,
    layout: Any, ahead: int, order: Any,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    own, context, sound = TASKS[task]
    spec = spec_of(2, codebooks)
    streams = [
        music(rng, num_frames, num_notes if own != "absent" else 0, "midi", own, delay),
        music(rng, num_frames, num_notes // 2 if context == "given" else 0, "context", context, -1),
    ]
    codes = rng.integers(0, 5, (2, num_frames, codebooks))
    roles: list[Any] = [sound, "given" if sound == "given" else "absent"]
    audio = [AudioStream(f"track{i}", roles[i], codes[i]) for i in range(2)]
    merged = merge(streams, audio, num_frames, layout=layout, ahead=ahead, length_asked=asked, order=order)
    known = merged.length_known
    generated = 0 if own == "generated" else None
    masks = unpacked(event_masks(merged, generated, VOCABULARY))
    request = Request(
        tuple(s.take(s.clocks < 0) if s.role == "generated" else s for s in streams),
        tuple(replace(t, codes=t.codes[:0]) if t.role == "generated" else t for t in audio),
        num_frames if known else None,
        ahead=ahead,
        layout=layout,
        order=order,
    ).completed(spec)  # fmt: skip
    writer = Writer(request, spec, VOCABULARY)
    forced(writer, merged, masks)
    assert writer.num_frames == num_frames
    assert writer.done == num_frames
    if generated is not None:
        assert writer.clocks == streams[0].clocks.tolist()
        assert writer.ids == streams[0].ids.tolist()
    if sound == "generated":
        assert np.array_equal(writer.codes[0, :num_frames], codes[0])


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    num_frames=st.integers(5, 12),
    delay=st.integers(-3, 3),
    asked=st.booleans(),
    share=st.floats(0, 1),
    sound=st.sampled_from(["generated", "absent"]),
)
def test_a_prompt_is_forced_and_nothing_behind_it(
    seed: int, num_frames: int, delay: int, asked: bool, share: float, sound: Any
) -> None:
    rng = np.random.default_rng(seed)
    longest = num_frames - 1 if asked else num_frames - 1 - max(0, delay)  # END is barred before the prompt's end
    spec, prompt = spec_of(1, 2), 1 + int(share * (longest - 1))
    stream = music(rng, num_frames, 12, "midi", "generated", delay)
    absent = music(rng, num_frames, 0, "context", "absent", 0)
    audio = AudioStream("track0", sound, rng.integers(0, 5, (num_frames, 2)))
    merged = merge([stream, absent], [audio], num_frames, length_asked=asked)
    request = Request(
        (stream.take(stream.clocks < prompt),), (replace(audio, codes=audio.codes[:prompt]),),
        num_frames if asked else None, prompt=prompt,
    ).completed(spec)  # fmt: skip
    writer = Writer(request, spec, VOCABULARY)
    asks = writer.run()
    seen, answer, drawn = 0, None, []
    masks = unpacked(event_masks(merged, 0, VOCABULARY))
    while True:
        try:
            ask: Ask = asks.send(answer)
        except StopIteration:
            break
        seen += len(ask.positions)
        at = seen - 1
        if ask.mask is not None:
            target = int(merged.event_target[at])
            n = int(merged.slot[at]) + (merged.kind[at] == Kind.FRAME)
            assert n >= prompt + delay  # before it, events and FRAME are forced
            barred = masks[at].copy()
            if n < max(prompt, prompt + delay):
                barred[VOCABULARY.end_id] = False
            assert np.array_equal(ask.mask, barred)
            answer = {FRAME: VOCABULARY.frame_id, END: VOCABULARY.end_id}.get(target, target)
        else:
            assert ask.entries is not None
            frames = merged.slot[at + 1] - np.arange(2)
            assert np.array_equal(ask.entries[0], (frames >= prompt) & (frames < num_frames))
            drawn += frames[ask.entries[0]].tolist()
            answer = np.where(ask.entries, merged.codes[at + 1], 4)  # what was not asked for does not count
    assert writer.clocks == stream.clocks.tolist()
    assert writer.ids == stream.ids.tolist()
    if sound == "generated":
        assert np.array_equal(writer.codes[0, :num_frames], audio.codes)
        assert sorted(drawn) == sorted([*range(prompt, num_frames)] * 2)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    num_frames=st.integers(4, 14),
    roles=st.sampled_from(
        [("generated", "generated"), ("given", "generated"), ("generated", "given"), ("generated", "absent")]
    ),
    layout=st.sampled_from(["delay", "parallel"]),
    two=st.booleans(),
)
def test_infill_writes_what_merge_builds(
    seed: int, num_frames: int, roles: tuple[Any, Any], layout: Any, two: bool
) -> None:
    rng = np.random.default_rng(seed)
    spec = spec_of(1, 3)
    cuts = np.sort(rng.choice(num_frames + 1, 4, replace=False)).tolist()
    holes = [(cuts[0], cuts[1]), (cuts[2], cuts[3])] if two else [(cuts[0], cuts[3])]
    stream = music(rng, num_frames, 14, "midi", roles[0], 0)
    context = music(rng, num_frames, 4, "context", "given", 0)
    audio = AudioStream("track0", roles[1], rng.integers(0, 5, (num_frames, 3)))
    merged = merge_infill([stream, context], [audio], num_frames, holes, layout=layout)
    own = 0 if roles[0] == "generated" else None
    masks = unpacked(event_masks(merged, own, VOCABULARY, [stream, context], holes))
    hollow = audio.codes.copy()
    for a, b in holes:
        if roles[1] == "generated":
            hollow[a:b] = UNGENERATED
    request = Request(
        (stream, context), (replace(audio, codes=hollow),), num_frames, holes=tuple(holes), layout=layout
    ).completed(spec)  # fmt: skip
    writer = Writer(request, spec, VOCABULARY)
    forced(writer, merged, masks)
    if own is not None:  # offs behind a hole were moved into its last slot
        assert sorted(writer.ids) == sorted(stream.ids.tolist())
        assert writer.clocks == sorted(writer.clocks)
    if roles[1] == "generated":
        assert np.array_equal(writer.codes[0, :num_frames], audio.codes)


def drawn_at_random(request: Request, spec: SequenceSpec, seed: int, never_frame: bool = False) -> Writer:
    """Answers from the legal choices, evenly."""
    rng = np.random.default_rng(seed)
    writer = Writer(request.completed(spec), spec, VOCABULARY)
    asks, answer = writer.run(), None
    while True:
        try:
            ask = asks.send(answer)  # type: ignore[arg-type]
        except StopIteration:
            return writer
        if ask.mask is not None:
            assert ask.mask.any()
            legal = np.flatnonzero(ask.mask)
            if never_frame:
                legal = legal[legal <= max(VOCABULARY.size - 1, legal[0])]  # an event if there is one, else FRAME
            answer = int(rng.choice(legal))
        else:
            assert ask.entries is not None
            answer = rng.integers(0, 5, ask.entries.shape)


NOTHING = np.zeros(0, np.int64)
SOUND = AudioStream("track0", "generated", np.zeros((0, 2), np.int64))


def empty(delay: int) -> EventStream:
    return EventStream("midi", "generated", delay, NOTHING, NOTHING)


def check_legal(writer: Writer) -> None:
    grammar, slot = Grammar(VOCABULARY), 0
    for clock, event in zip(writer.clocks, writer.ids, strict=True):
        while slot < clock:
            grammar.next_slot()
            slot += 1
        grammar.push(event)
    assert grammar.at_border


@pytest.mark.parametrize("delay", [-2, 0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_an_open_length_ends_at_the_latest_at_the_limit(delay: int, seed: int) -> None:
    request = Request((empty(delay),), (SOUND,), max_frames=7)
    for never_frame in (False, True):
        writer = drawn_at_random(request, spec_of(), seed, never_frame)
        assert writer.num_frames is not None
        assert 1 <= writer.num_frames <= 7
        assert all(0 <= clock < writer.num_frames for clock in writer.clocks)
        assert (writer.codes[0, : writer.num_frames] >= 0).all()
        check_legal(writer)


def test_a_slot_holds_at_most_256_events() -> None:
    writer = drawn_at_random(Request((empty(0),), (), 3), spec_of(), 0, never_frame=True)
    counts = np.bincount(writer.clocks)
    assert counts.max() in (256, 257, 258)  # FRAME is forced at the next note border
    check_legal(writer)


def test_a_full_last_slot_of_a_hole_ends_its_notes() -> None:
    request = Request((empty(0),), (), 4, holes=((1, 2),))
    writer = drawn_at_random(request, spec_of(), 0, never_frame=True)
    check_legal(writer)
    ons = sum(event < NOTE_OFF for event in writer.ids)
    assert ons == sum(NOTE_OFF <= event < DRUM_ON for event in writer.ids)
    assert set(writer.clocks) == {1}


def test_an_entry_of_the_prompt_may_be_left_open() -> None:
    codes = np.array([[1, 2], [UNGENERATED, 3]])
    request = Request(audio=(AudioStream("track0", "generated", codes),), num_frames=2, prompt=2).completed(spec_of())
    writer = Writer(request, spec_of(), VOCABULARY)
    asks = writer.run()
    ask = next(asks)
    assert ask.entries is not None
    assert np.argwhere(ask.entries).tolist() == [[0, 0]]
    assert [p[SLOT] for p in ask.positions] == [0, 0]  # BOS and the first frame
    with pytest.raises(StopIteration):
        asks.send(np.array([[4, 0]]))
    assert writer.codes[0, :2].tolist() == [[1, 2], [4, 3]]


def test_given_events_of_a_slot_stand_in_one_ask() -> None:
    stream = EventStream("midi", "given", 0, np.array([1, 1, 1]), np.array([5, 6, 7]))
    request = Request((stream,), (replace(SOUND, codes=SOUND.codes),), 3).completed(spec_of())
    writer = Writer(request, spec_of(), VOCABULARY)
    asks = writer.run()
    sizes, answer = [], None
    for _ in range(4):  # three frames and the tail
        ask = asks.send(answer)  # type: ignore[arg-type]
        sizes.append(len(ask.positions))
        answer = np.zeros((1, 2), np.int64)
    assert sizes == [1, 4, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": (replace(empty(0), name="other"),)}, "no event stream 'other'"),
        ({"controls": {"style": "techno"}}, "no control 'style'"),
        ({"events": (), "audio": ()}, "a stream to generate"),
        ({"events": (replace(empty(0), role="given"),), "num_frames": None}, "num_frames is needed"),
        ({"prompt": 3, "num_frames": 2}, "at least 1 and the prompt's 3"),
        ({"prompt": 2}, "needs as many frames, got 0"),
        ({"holes": ((1, 5),), "num_frames": 4}, "holes should lie"),
        ({"holes": ((1, 3),), "num_frames": 4, "ahead": 1}, "infill takes no"),
        ({"holes": ((1, 3),), "num_frames": 4}, "around its holes"),
        ({"audio": (replace(SOUND, role="given"),), "num_frames": 3}, "should hold"),
    ],
)
def test_refuses_what_no_sequence_can_hold(changes: dict[str, Any], message: str) -> None:
    request = replace(Request((empty(0),), (SOUND,), 6), **changes)
    with pytest.raises(ValueError, match=message):
        request.completed(spec_of())


def test_events_need_their_vocabulary() -> None:
    with pytest.raises(ValueError, match="need their vocabulary"):
        Writer(Request((empty(0),), (), 3).completed(spec_of()), spec_of(), EventVocabulary(velocity_bins=5))
