"""MuseNet's tokens: pitch, instrument and loudness in one id, waits, 4,097 in all.

The layout is that of OpenAI's public demo as its clients decode it (`stevenwaterman/musenet-midi`, toMidi.ts): id is
128 k + pitch, where k = 0 ends a piano note and 1 .. 13 begin one at velocity 24, 32, ... 120; then pairs of begin (at
80) and end for eight instruments; k = 30 is a drum, which has no end; 3968 .. 4095 wait 1 .. 128 units of a 48th of a
beat (1/96 s at 120 bpm, longer waits are repeated); 4096 is the start of a piece.

Of MuseNet nothing else was published about order and mapping, so that is ours: at one time ends stand before begins,
both by (instrument, pitch); a note ends where the same one begins again; General MIDI programs go to the nearest of its
ten instruments (`INSTRUMENT_OF`).

Legend: T tokens, E events (begins and ends).
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.grid import STEPS_PER_BEAT, check_grid
from lh_mm.music.score import NOTE_DTYPE, Meter, Score
from lh_mm.music.tokens import TimedTokens, first_bar_beat, sounding_before, transposed, with_waits

UNITS_PER_BEAT = 48
MAX_WAIT = 128
WAIT, START, SIZE = 3968, 4096, 4097
PIANO_VELOCITIES = tuple(range(24, 121, 8))
OTHER_VELOCITY = 80
INSTRUMENTS = ("piano", "violin", "cello", "bass", "guitar", "flute", "clarinet", "trumpet", "harp", "drums")
PROGRAM_OF = {
    "piano": 0, "violin": 40, "cello": 42, "bass": 32, "guitar": 24, "flute": 73, "clarinet": 71, "trumpet": 56,
    "harp": 46,
}  # fmt: skip
DRUM_BLOCK = 30
_FAMILIES = (
    (8, "piano"), (16, "harp"), (24, "piano"), (32, "guitar"), (40, "bass"), (42, "violin"), (44, "cello"),
    (46, "violin"), (48, "harp"), (56, "violin"), (64, "trumpet"), (72, "clarinet"), (88, "flute"), (96, "violin"),
    (104, "piano"), (112, "guitar"), (128, "piano"),
)  # fmt: skip
INSTRUMENT_OF = tuple(next(name for end, name in _FAMILIES if program < end) for program in range(128))
"""MuseNet's instrument of each General MIDI program."""


@dataclass(frozen=True)
class Musenet:
    """The tokenizer; it has no settings."""

    @property
    def size(self) -> int:
        """Number of ids; END, which is no token, would be the next."""
        return SIZE

    @property
    def period(self) -> int:
        """Windows begin at multiples of it."""
        return 1

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids begin a note, any shape."""
        block = np.asarray(ids) // 128
        other = (block >= 14) & (block < DRUM_BLOCK) & (block % 2 == 0)
        begins: NDArray[np.bool_] = ((block >= 1) & (block <= 13)) | other | (block == DRUM_BLOCK)
        return begins

    def name(self, token: int) -> str:
        """Readable name, as `piano:v72:60`, `violin:v0:64`, `wait:12`, `start`."""
        if not 0 <= token < SIZE:
            raise ValueError(f"token {token} is outside 0..{SIZE - 1}")
        if token >= WAIT:
            return "start" if token == START else f"wait:{token - WAIT + 1}"
        instrument, velocity = meaning(token // 128)
        return f"{INSTRUMENTS[instrument]}:v{velocity}:{token % 128}"

    def to_json(self) -> str:
        """What a bundle stores."""
        return json.dumps({"kind": "musenet", "size": SIZE, STEPS_PER_BEAT: UNITS_PER_BEAT})

    @classmethod
    def from_json(cls, text: str) -> Musenet:
        """The inverse of `to_json`. Raises ValueError if the text is of another vocabulary or grid."""
        stored = json.loads(text)
        own = {"kind": "musenet", "size": SIZE, STEPS_PER_BEAT: UNITS_PER_BEAT}
        if not isinstance(stored, dict) or {**stored, STEPS_PER_BEAT: UNITS_PER_BEAT} != own:
            raise ValueError(f"not MuseNet's vocabulary of {SIZE} ids: {text[:80]!r}")
        check_grid(stored, STEPS_PER_BEAT, UNITS_PER_BEAT)
        return cls()

    def legal(self, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
        """(T + 1, 4,099) what may be chosen before each token and behind the last: an end only of what sounds.

        Args:
            ids: (T,) tokens.
            is_start: whether they begin a piece, with `start`; if not, every end is legal.
        """
        legal = np.ones((len(ids) + 1, SIZE + 2), bool)
        legal[:, [START, SIZE]] = False
        if is_start:
            block, pitch = ids // 128, ids % 128
            note = block < DRUM_BLOCK
            instrument = np.where(block <= 13, 0, (block - 12) // 2)
            is_end = note & ((block == 0) | ((block > 13) & (block % 2 == 1)))
            voice = instrument * 128 + pitch
            begins, ends = np.where(note & ~is_end, voice, -1), np.where(is_end, voice, -1)
            sounds = sounding_before(begins, ends, 9 * 128).reshape(-1, 9, 128)
            blocks = legal[:, :WAIT].reshape(len(legal), -1, 128)
            blocks[:, 0] = sounds[:, 0]
            blocks[:, 15:DRUM_BLOCK:2] = sounds[:, 1:]
            legal[0] = False
            legal[0, START] = True
        return legal

    def transposed(self, ids: NDArray[np.int64], semitones: int) -> NDArray[np.int64]:
        """Every pitch but those of drums moved; unchanged where one would leave 0 .. 127."""
        return transposed(ids, ids < DRUM_BLOCK * 128, ids % 128, semitones)

    def encode(self, score: Score) -> TimedTokens:
        """Tokens of a score on its own beats; of equal notes at one time the longest, and none shorter than a unit.

        They begin at `first_beat`. A note that is still held when the same one begins again ends there.
        """
        notes, first = score.notes, self.first_beat(score)
        names = np.array([INSTRUMENTS.index(name) for name in INSTRUMENT_OF])
        instrument = np.where(notes["drum"], 9, names[np.minimum(notes["program"], 127)])
        on = np.rint((notes["start_beat"] - first) * UNITS_PER_BEAT).astype(np.int64)
        off = np.maximum(np.rint((notes["end_beat"] - first) * UNITS_PER_BEAT).astype(np.int64), on + 1)
        pitch = notes["pitch"].astype(np.int64)
        order = np.lexsort([-off, pitch, instrument, on])
        on, off, pitch, instrument = on[order], off[order], pitch[order], instrument[order]
        longest = np.ones(len(on), bool)
        longest[1:] = (np.diff(on) != 0) | (np.diff(instrument) != 0) | (np.diff(pitch) != 0)
        velocity = notes["velocity"].astype(np.int64)[order][longest]
        on, off, pitch, instrument = on[longest], off[longest], pitch[longest], instrument[longest]
        voice = np.lexsort([on, pitch, instrument])  # each note before the next of its own
        same = (np.diff(instrument[voice]) == 0) & (np.diff(pitch[voice]) == 0)
        off[voice[:-1][same]] = np.minimum(off[voice[:-1][same]], on[voice[1:][same]])
        level = np.clip(np.rint((velocity - 24) / 8), 0, 12).astype(np.int64)
        begin = np.where(instrument == 0, 1 + level, 12 + 2 * instrument)  # violin is 14, cello 16, ... drums 30
        end = np.where(instrument == 0, 0, 13 + 2 * instrument)

        pitched = instrument != 9
        unit = np.concatenate([off[pitched], on])
        block = np.concatenate([end[pitched], begin])
        key = np.concatenate([pitch[pitched], pitch])
        whose = np.concatenate([instrument[pitched], instrument])
        begins = np.arange(len(unit)) >= pitched.sum()
        order = np.lexsort([key, whose, begins, unit])
        unit, tokens = unit[order], (128 * block + key)[order]
        ids, ends = with_waits(unit, np.ones(len(unit), np.int64), WAIT, MAX_WAIT)
        ids[ends - 1] = tokens
        ids = np.concatenate([np.array([START], np.int32), ids])
        moved = np.where((ids >= WAIT) & (ids < START), ids - WAIT + 1, 0)
        times_s = score.tempo_map.to_seconds(first + np.cumsum(moved) / UNITS_PER_BEAT)
        return TimedTokens(ids, times_s, len(on), len(notes) - len(on))

    def first_beat(self, score: Score) -> float:
        """The beat at which tokens begin: 0, or whole bars of four before it where notes stand there."""
        return first_bar_beat(score.notes["start_beat"], UNITS_PER_BEAT)

    def decode(self, ids: ArrayLike, tempo_map: TempoMap, problems: dict[str, int] | None = None) -> Score:
        """A score with a track for each instrument that plays.

        A note that begins while the same one sounds ends it; what still sounds at the end ends there; a drum lasts a
        sixteenth.

        Args:
            ids: (T,) tokens.
            tempo_map: seconds of the beats, counted from where the tokens begin.
            problems: where to count ends of no note (`off_silent`).

        Raises:
            ValueError: at an end of no note, unless `problems` is given; at an id out of range.
        """
        rows: list[tuple[int, int, int, int, int]] = []  # (instrument, on, off, pitch, velocity)
        sounding: dict[tuple[int, int], tuple[int, int]] = {}
        unit = 0

        def close(key: tuple[int, int]) -> None:
            begun, velocity = sounding.pop(key)
            rows.append((key[0], begun, max(unit, begun + 1), key[1], velocity))

        for i, token in enumerate(np.asarray(ids).tolist()):
            if not 0 <= token < SIZE:
                raise ValueError(f"token {i} is {token}, outside 0..{SIZE - 1}")
            if token >= WAIT:
                unit += 0 if token == START else token - WAIT + 1
                continue
            instrument, velocity = meaning(token // 128)
            key = (instrument, token % 128)
            if instrument == 9:
                rows.append((9, unit, unit + UNITS_PER_BEAT // 4, token % 128, velocity))
            elif velocity:
                if key in sounding:
                    close(key)
                sounding[key] = (unit, velocity)
            elif key in sounding:
                close(key)
            elif problems is None:
                raise ValueError(f"token {i} ({self.name(token)}) ends a note that does not sound")
            else:
                problems["off_silent"] = problems.get("off_silent", 0) + 1
        for key in list(sounding):
            close(key)
        return _score_of(rows, unit, tempo_map)


def meaning(block: int) -> tuple[int, int]:
    """Instrument and velocity (0 ends a note) of a block k of 128 ids."""
    if block <= 13:
        return 0, PIANO_VELOCITIES[block - 1] if block else 0
    if block == DRUM_BLOCK:
        return 9, OTHER_VELOCITY
    return (block - 12) // 2, 0 if block % 2 else OTHER_VELOCITY


def _score_of(rows: list[tuple[int, int, int, int, int]], end: int, tempo_map: TempoMap) -> Score:
    rows = sorted(rows, key=lambda row: (row[1], row[0], row[3]))
    tracks: dict[int, int] = defaultdict(lambda: len(tracks))
    notes = np.zeros(len(rows), NOTE_DTYPE)
    for note, (instrument, on, off, pitch, velocity) in zip(notes, rows, strict=True):
        note["start_beat"], note["end_beat"] = on / UNITS_PER_BEAT, off / UNITS_PER_BEAT
        note["pitch"], note["velocity"], note["drum"] = pitch, velocity, instrument == 9
        note["program"] = PROGRAM_OF.get(INSTRUMENTS[instrument], 0)
        note["track"] = tracks[instrument]
    for edge in ("start", "end"):
        notes[f"{edge}_s"] = tempo_map.to_seconds(notes[f"{edge}_beat"])
    duration_s = max(float(tempo_map.to_seconds(end / UNITS_PER_BEAT)), float(notes["end_s"].max(initial=0.0)))
    names = tuple(INSTRUMENTS[i] for i in tracks) or ("",)
    return Score(notes, tempo_map, duration_s, (Meter(0.0, 4, 4),), names)
