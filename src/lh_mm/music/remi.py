"""REMI on an annotated grid: Bar, Position, Track, Pitch, Duration, for training on notes alone.

After Huang and Yang, "Pop Music Transformer" (2020). As the POP909 floor defines it: 16 positions a bar
of four beats, a Track token where the track changes inside a position, durations up to 64 sixteenths, no
velocity, no tempo, equal notes merged; 212 ids with three tracks. Beats come from the score, so the grid
is whatever its tempo map says: annotated beats for POP909 (`music/beats.py`), never ticks. Each token
knows its second. Inside a position notes stand by (track, pitch).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.remi_grammar import RemiGrammar, legal_remi, transposed_remi
from lh_mm.music.score import NOTE_DTYPE, Meter, Score

__all__ = ["Remi", "RemiGrammar", "RemiTokens"]

VELOCITY = 80
"""Of decoded notes, as no token holds one."""


@dataclass(frozen=True)
class RemiTokens:
    """Tokens of one piece.

    Attributes:
        ids: (T,) token ids.
        times_s: (T,) second of the bar line, or of the position, that each token belongs to.
        first_bar: bar of the first Bar token: 0, or negative with notes before beat 0.
        num_notes: notes encoded, the divisor of nats per note.
        num_merged: notes left out as another has the same position, track and pitch.
        num_clipped: notes longer than the longest duration, and cut to it.
    """

    ids: NDArray[np.int32]
    times_s: NDArray[np.float64]
    first_bar: int
    num_notes: int
    num_merged: int
    num_clipped: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Remi:
    """The tokenizer; ids are Bar, then positions, tracks, pitches, durations 1 .. max_duration.

    Attributes:
        programs: program of each track, -1 for drums; a note's program says its track.
        positions: steps of a bar.
        beats_per_bar: beats that `positions` divide.
        max_duration: longest duration, in steps.
    """

    programs: tuple[int, ...]
    positions: int = 16
    beats_per_bar: int = 4
    max_duration: int = 64

    def __post_init__(self) -> None:
        if not self.programs or len(set(self.programs)) < len(self.programs):
            raise ValueError(f"programs must be distinct and at least one, got {self.programs}")
        if self.positions % self.beats_per_bar:
            raise ValueError(f"positions ({self.positions}) must be a multiple of beats_per_bar ({self.beats_per_bar})")

    @property
    def steps_per_beat(self) -> int:
        """Grid steps of a beat."""
        return self.positions // self.beats_per_bar

    @property
    def period(self) -> int:
        """Windows begin at multiples of it."""
        return 1

    def begins_note(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which ids complete a note (durations: one each), any shape."""
        ids = np.asarray(ids)
        return (ids >= self.first_duration) & (ids < self.size)

    @property
    def first_track(self) -> int:
        """First Track id; Bar is 0 and the positions are 1 .. positions."""
        return 1 + self.positions

    @property
    def first_pitch(self) -> int:
        """First Pitch id."""
        return self.first_track + len(self.programs)

    @property
    def first_duration(self) -> int:
        """First Duration id, that of one step."""
        return self.first_pitch + 128

    @property
    def size(self) -> int:
        """Number of ids; END, which is no token, would be the next."""
        return self.first_duration + self.max_duration

    def name(self, token: int) -> str:
        """Readable name, as `Bar`, `Position_4`, `Track_1`, `Pitch_60`, `Duration_2`."""
        if not 0 <= token < self.size:
            raise ValueError(f"token {token} is outside 0..{self.size - 1}")
        if token >= self.first_duration:
            return f"Duration_{token - self.first_duration + 1}"
        if token >= self.first_pitch:
            return f"Pitch_{token - self.first_pitch}"
        if token >= self.first_track:
            return f"Track_{token - self.first_track}"
        return f"Position_{token - 1}" if token else "Bar"

    def to_json(self) -> str:
        """What a bundle stores."""
        return json.dumps({"kind": "remi", **self.__dict__, "size": self.size})

    @classmethod
    def from_json(cls, text: str) -> Remi:
        """The inverse of `to_json`. Raises ValueError if the text is of another vocabulary."""
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.pop("kind", None) != "remi":
            raise ValueError(f"not a REMI vocabulary: {text[:80]!r}")
        size = stored.pop("size")
        remi = cls(**{**stored, "programs": tuple(stored["programs"])})
        if remi.size != size:
            raise ValueError(f"this REMI vocabulary has {size} ids, this version's has {remi.size}")
        return remi

    def legal(self, ids: NDArray[np.int64], is_start: bool) -> NDArray[np.bool_]:
        """(T + 1, size + 2) what may be chosen before each token and behind the last, see `RemiGrammar`."""
        return legal_remi(ids, self, is_start)

    def transposed(self, ids: NDArray[np.int64], semitones: int) -> NDArray[np.int64]:
        """Every pitch but those of drums moved; unchanged where one would leave 0 .. 127."""
        return transposed_remi(ids, self, semitones)

    def encode(self, score: Score) -> RemiTokens:
        """Tokens of a score whose beats are the grid.

        Raises:
            ValueError: if a note's program is not one of `programs`.
        """
        notes = score.notes
        program = np.where(notes["drum"], -1, notes["program"].astype(np.int64))
        known = np.array(sorted(self.programs))
        place = np.minimum(np.searchsorted(known, program), len(known) - 1)
        if (known[place] != program).any():
            strange = sorted(set(program[known[place] != program].tolist()))
            raise ValueError(f"notes of program {strange} have no track: programs is {self.programs}")
        track = np.array([self.programs.index(p) for p in known.tolist()])[place]

        start = np.rint(notes["start_beat"] * self.steps_per_beat).astype(np.int64)
        length = np.rint(notes["end_beat"] * self.steps_per_beat).astype(np.int64) - start
        pitch = notes["pitch"].astype(np.int64)
        order = np.lexsort([-length, pitch, track, start])  # of equal notes the longest comes first
        start, track, pitch, length = start[order], track[order], pitch[order], length[order]
        first = np.ones(len(start), bool)
        first[1:] = (np.diff(start) != 0) | (np.diff(track) != 0) | (np.diff(pitch) != 0)
        start, track, pitch, length = start[first], track[first], pitch[first], length[first]

        bar, position = start // self.positions, start % self.positions
        first_bar = min(0, int(bar[0])) if len(bar) else 0
        bars_before = np.diff(bar, prepend=first_bar - 1)
        new_position = np.diff(start, prepend=np.iinfo(np.int64).min // 2) != 0
        new_track = new_position | (np.diff(track, prepend=-1) != 0)
        note_ids = np.stack(
            [
                np.where(new_position, 1 + position, -1),
                np.where(new_track, self.first_track + track, -1),
                self.first_pitch + pitch,
                self.first_duration + np.clip(length, 1, self.max_duration) - 1,
            ],
            axis=1,
        )  # (notes, 4), -1 where nothing is written
        kept = note_ids >= 0
        sizes = kept.sum(1)
        # Before each note stand its new bars; tokens are laid out by their counts.
        ends = np.cumsum(bars_before + sizes)
        ids = np.zeros(int(ends[-1]) if len(ends) else 0, np.int32)
        steps = np.zeros(len(ids), np.int64)
        is_bar = np.zeros(len(ids), bool)
        is_bar[_ranges(ends - bars_before - sizes, bars_before)] = True
        ids[~is_bar] = note_ids[kept]
        steps[~is_bar] = np.repeat(start, sizes)
        steps[is_bar] = (first_bar + np.arange(is_bar.sum())) * self.positions
        return RemiTokens(
            ids=ids,
            times_s=score.tempo_map.to_seconds(steps / self.steps_per_beat),
            first_bar=first_bar,
            num_notes=len(start),
            num_merged=len(notes) - len(start),
            num_clipped=int((length > self.max_duration).sum()),
        )

    def decode(
        self, ids: ArrayLike, tempo_map: TempoMap, first_bar: int = 0, problems: dict[str, int] | None = None
    ) -> Score:
        """A score on the grid of a tempo map; its end is the end of the last bar or of the last note.

        Args:
            ids: (T,) token ids.
            tempo_map: seconds of the grid's beats.
            first_bar: bar of the first Bar token.
            problems: where to count tokens that are out of order (`grammar`) and passed over.

        Raises:
            ValueError: at the first token out of order, unless `problems` is given.
        """
        rows: list[tuple[int, int, int, int]] = []  # (start step, track, pitch, length)
        grammar = RemiGrammar(self)
        bar = first_bar - 1
        for i, token in enumerate(np.asarray(ids).tolist()):
            if not (0 <= token < self.size and grammar.allows(token)):
                if problems is None:
                    raise ValueError(f"token {i} ({token}) is not legal after {grammar}")
                problems["grammar"] = problems.get("grammar", 0) + 1
                continue
            grammar.push(token)
            if token == 0:
                bar += 1
            elif token >= self.first_duration:
                start = bar * self.positions + grammar.position
                rows.append((start, grammar.track, grammar.pitch, token - self.first_duration + 1))
        return self._score_of(rows, bar + 1, tempo_map)

    def _score_of(self, rows: list[tuple[int, int, int, int]], num_bars: int, tempo_map: TempoMap) -> Score:
        start, track, pitch, length = np.array(rows, np.int64).reshape(-1, 4).T
        program = np.array(self.programs)[track]
        notes = np.zeros(len(start), NOTE_DTYPE)
        notes["start_beat"] = start / self.steps_per_beat
        notes["end_beat"] = (start + length) / self.steps_per_beat
        notes["pitch"], notes["velocity"], notes["track"] = pitch, VELOCITY, track
        notes["program"], notes["drum"] = np.maximum(program, 0), program < 0
        for edge in ("start", "end"):
            notes[f"{edge}_s"] = tempo_map.to_seconds(notes[f"{edge}_beat"])
        end_s = float(tempo_map.to_seconds(float(num_bars * self.beats_per_bar)))
        duration_s = max(end_s, float(notes["end_s"].max(initial=0.0)))
        names = tuple("drums" if p < 0 else f"program {p}" for p in self.programs)
        return Score(notes, tempo_map, duration_s, (Meter(0.0, self.beats_per_bar, 4),), names)


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """All of `start .. start + length - 1`, one range after another."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
