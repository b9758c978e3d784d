"""Notes as the event tokens of a merged sequence, and back (docs/streams.md, sections 1 and 2).

The family is miditok's MIDI-like one with programs and without time shifts, for frames carry the time:
a note begins with `Program NoteOn Velocity` (drums: `Program=-1 DrumOn Velocity`, which have no off)
and ends with `Program NoteOff`. What is ours: a piece is made legal *before* it is encoded, with every
change counted, so that no grammar mask can ever meet a target; the order inside a slot is canonical;
and each token knows the slot in which its note began, so that crops and holes can take a note whole.

Tokens keep a note's program, not its track: tracks that share a program become one.

Legend: E events (tokens), N frames (slots) of the piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap, frame_centres_s, frames_at
from lh_mm.music.legal import legalise, voices_of
from lh_mm.music.score import NOTE_DTYPE, Meter, Score
from lh_mm.music.vocabulary import (
    DRUM_ON,
    MAX_EVENTS_PER_SLOT,
    NOTE_OFF,
    NOTE_ON,
    PROGRAM,
    VELOCITY,
    EventVocabulary,
)

__all__ = [
    "MAX_EVENTS_PER_SLOT",
    "EventVocabulary",
    "Events",
    "decode_events",
    "encode_events",
    "legalise",
]

DRUM_LENGTH_S = 0.1
"""Nominal length of a decoded drum hit, whose end no token holds."""


@dataclass(frozen=True)
class Events:
    """Event tokens of one stream in sequence order.

    Attributes:
        clocks: (E,) slot in which each token falls, never decreasing.
        ids: (E,) ids of an `EventVocabulary`.
        onset_clocks: (E,) slot in which the token's note began; for an off, that of its note. A crop at
            slot a drops exactly the tokens with `onset_clocks < a`, which takes whole note-offs.
        note_index: (E,) row of the note in the table that was encoded.
    """

    clocks: NDArray[np.int32]
    ids: NDArray[np.int32]
    onset_clocks: NDArray[np.int32]
    note_index: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def most_in_a_slot(self) -> int:
        """Largest number of tokens in one slot, to hold against `MAX_EVENTS_PER_SLOT`."""
        return int(np.bincount(self.clocks).max()) if len(self.clocks) else 0


def encode_events(
    notes: Score | NDArray[np.void], rate_hz: float, num_frames: int, vocabulary: EventVocabulary
) -> Events:
    """The tokens of a legal piece in canonical order.

    Inside a slot: first the offs of notes begun earlier, by (program, pitch); then the notes by
    (program, pitch), drums first, each followed by its off if that stands in the same slot.

    Args:
        notes: a score or a table of `NOTE_DTYPE`, made legal by `legalise` at this rate and N.
        rate_hz: slots a second.
        num_frames: N; the last slot is N - 1.
        vocabulary: ids to use.

    Raises:
        ValueError: if two notes of one program and pitch collide (the piece was not made legal).
    """
    table = notes.notes if isinstance(notes, Score) else notes
    on = frames_at(table["start_s"], rate_hz, num_frames)  # (notes,)
    off = np.maximum(frames_at(table["end_s"], rate_hz, num_frames), on)
    voices, pitched = voices_of(table), ~table["drum"]
    _check_legal(table, voices, on, off)

    # One group a note-on (3 tokens) and one a note-off (2 tokens), sorted by a single integer key.
    which = np.concatenate([np.arange(len(table)), np.flatnonzero(pitched)])
    is_off = np.arange(len(which)) >= len(table)
    clock = np.where(is_off, off[which], on[which])
    stays = ~(is_off & (off[which] > on[which]))  # False: the off of a note begun in an earlier slot
    order = np.argsort(((clock * 2 + stays) * (129 * 128) + voices[which]) * 2 + is_off, kind="stable")
    which, is_off, clock = which[order], is_off[order], clock[order]

    pitch, drum = table["pitch"][which].astype(np.int64), table["drum"][which]
    tokens = np.empty((len(which), 3), np.int32)  # (groups, 3)
    tokens[:, 0] = PROGRAM + voices[which] // 128
    tokens[:, 1] = np.where(is_off, NOTE_OFF, np.where(drum, DRUM_ON, NOTE_ON)) + pitch
    tokens[:, 2] = vocabulary.velocity_id(table["velocity"][which])
    present = np.ones((len(which), 3), bool)
    present[:, 2] = ~is_off
    lengths = np.where(is_off, 2, 3)
    return Events(
        clocks=np.repeat(clock, lengths).astype(np.int32),
        ids=tokens[present],
        onset_clocks=np.repeat(on[which], lengths).astype(np.int32),
        note_index=np.repeat(which, lengths).astype(np.int32),
    )


def _check_legal(
    table: NDArray[np.void], voices: NDArray[np.int64], on: NDArray[np.int64], off: NDArray[np.int64]
) -> None:
    order = np.lexsort([on, voices])
    earlier, later = order[:-1], order[1:]
    last = np.where(table["drum"][earlier], on[earlier], off[earlier])
    collide = (voices[earlier] == voices[later]) & ((on[later] <= on[earlier]) | (on[later] < last))
    if collide.any():
        a, b = (table[k[collide][0]] for k in (earlier, later))
        raise ValueError(
            f"pitch {a['pitch']} of program {-1 if a['drum'] else a['program']} begins at {b['start_s']:.3f} s while "
            f"the same note of {a['start_s']:.3f} s stands there: encode only what legalise() returned"
        )


def decode_events(
    clocks: ArrayLike,
    ids: ArrayLike,
    rate_hz: float,
    num_frames: int,
    vocabulary: EventVocabulary,
    tempo_map: TempoMap | None = None,
    meters: tuple[Meter, ...] = (Meter(0.0, 4, 4),),
    problems: dict[str, int] | None = None,
) -> Score:
    """Notes from event tokens: times are slot middles, `(clock + 0.5) / rate_hz`.

    An off in its on's slot is a quarter slot later; what still sounds at N is closed there; a drum hit
    lasts 0.1 s or until it is hit again. Each program gets a track of its own, drums first.

    Args:
        clocks: (E,) slot of each token.
        ids: (E,) event ids.
        rate_hz: slots a second.
        num_frames: N, which fixes the duration.
        vocabulary: the ids' meaning.
        tempo_map: for the notes' beats; by default 120 bpm.
        meters: copied to the score.
        problems: where to count what is not legal (`grammar`: tokens out of order, `on_sounding`: the
            older note is ended, `off_silent`: passed over, `twice`: a note begins twice in a slot). Without
            it such a sequence is an error.

    Raises:
        ValueError: at the first illegal token, unless `problems` is given.
    """

    def problem(kind: str, position: int) -> None:
        if problems is None:
            raise ValueError(f"event {position} ({vocabulary.name(int(id_list[position]))}) is not legal: {kind}")
        problems[kind] = problems.get(kind, 0) + 1

    clock_list, id_list = np.asarray(clocks).tolist(), np.asarray(ids).tolist()
    rows: list[list[int]] = []  # [program, pitch, velocity, on, off or -1]
    sounding: dict[tuple[int, int], int] = {}  # (program, pitch) -> row
    begun: dict[tuple[int, int], int] = {}  # (program, pitch) -> clock of its last on
    program: int | None = None
    i, num_events = 0, len(id_list)
    while i < num_events:
        token, clock = id_list[i], clock_list[i]
        if PROGRAM <= token < VELOCITY:
            if program is not None:
                problem("grammar", i)
            program = token - PROGRAM - 1
        elif program is None or token >= PROGRAM or (program == -1) != (DRUM_ON <= token < PROGRAM):
            problem("grammar", i)
            program = None
        elif NOTE_OFF <= token < DRUM_ON:
            row = sounding.pop((program, token - NOTE_OFF), None)
            if row is None:
                problem("off_silent", i)
            else:
                rows[row][4] = clock
            program = None
        else:
            loud = id_list[i + 1] if i + 1 < num_events else -1
            if VELOCITY <= loud < vocabulary.first_reserved and clock_list[i + 1] == clock:
                key = (program, token % 128)
                if begun.get(key) == clock:
                    problem("twice", i)
                if key in sounding:
                    problem("on_sounding", i)
                    rows[sounding.pop(key)][4] = clock
                begun[key] = clock
                if program >= 0:
                    sounding[key] = len(rows)
                rows.append([*key, vocabulary.velocity_of(loud), clock, -1])
                i += 1
            else:
                problem("grammar", i)
            program = None
        i += 1
    if program is not None:
        problem("grammar", num_events - 1)
    return _score_of(rows, rate_hz, num_frames, tempo_map or TempoMap.constant(120.0), meters)


def _score_of(
    rows: list[list[int]], rate_hz: float, num_frames: int, tempo_map: TempoMap, meters: tuple[Meter, ...]
) -> Score:
    """A score from rows (program, pitch, velocity, on, off), off -1 where nothing ended the note."""
    table = np.array(rows, np.int64).reshape(-1, 5)
    program, pitch, velocity, on, off = table.T
    drum, end_s = program < 0, num_frames / rate_hz
    notes = np.zeros(len(table), NOTE_DTYPE)
    notes["pitch"], notes["velocity"], notes["drum"] = pitch, velocity, drum
    notes["program"] = np.maximum(program, 0)
    notes["start_s"] = frame_centres_s(on, rate_hz)
    ends = np.where(off == on, (on + 0.75) / rate_hz, frame_centres_s(off, rate_hz))
    ends = np.where(off < 0, end_s, ends)
    # A drum hit ends at the next hit of the same drum, so that written files never overlap a pitch.
    order = np.lexsort([on, pitch, program])
    following = np.full(len(table), np.inf)
    same = (program[order][1:] == program[order][:-1]) & (pitch[order][1:] == pitch[order][:-1])
    following[order[:-1][same]] = notes["start_s"][order[1:][same]]
    hits = np.minimum(np.minimum(notes["start_s"] + DRUM_LENGTH_S, following), end_s)
    notes["end_s"] = np.where(drum, hits, ends)
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = tempo_map.to_beats(notes[f"{edge}_s"])
    programs = np.unique(program)
    notes["track"] = np.searchsorted(programs, program)
    names = tuple("drums" if p < 0 else f"program {p}" for p in programs.tolist()) or ("",)
    return Score(notes, tempo_map, end_s, meters, names)
