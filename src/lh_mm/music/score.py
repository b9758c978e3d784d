"""Notes and pieces: what every corpus gives and every tokenizer, instrument and measure takes.

A `Score` is a table of notes (seconds *and* beats, program, drum, track, velocity) with its tempo map
and meters. A `Piece` is a score, or none, with any number of named audio tracks, labels and a licence.
Both are values: functions return new ones, nothing edits a score in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap

NOTE_DTYPE = np.dtype(
    [
        ("start_s", "<f8"),
        ("end_s", "<f8"),
        ("start_beat", "<f8"),
        ("end_beat", "<f8"),
        ("pitch", "u1"),
        ("velocity", "u1"),
        ("program", "u1"),
        ("drum", "?"),
        ("track", "u1"),
    ]
)
"""One note. `program` is 0..127 as in General MIDI (0 for drums); `velocity` is 1..127; `track` is an
index into `Score.tracks`. Drums keep their notated end, which no token encodes."""


@dataclass(frozen=True)
class Meter:
    """A time signature from a beat on (beats are quarter notes; 6/8 has bars of 3 beats)."""

    start_beat: float
    numerator: int
    denominator: int

    @property
    def bar_beats(self) -> float:
        """Length of a bar in quarter notes."""
        return self.numerator * 4.0 / self.denominator


@dataclass(frozen=True)
class Score:
    """Notes of one piece, sorted by (start_s, drum, program, pitch, track).

    Attributes:
        notes: structured array of `NOTE_DTYPE`.
        tempo_map: beats to seconds; `start_beat` and `start_s` of every note agree under it.
        duration_s: end of the piece; never before the last note's end unless the piece was cut.
        meters: in order of beat, the first at beat 0 or before.
        tracks: names, indexed by `notes["track"]`.
    """

    notes: NDArray[np.void]
    tempo_map: TempoMap
    duration_s: float
    meters: tuple[Meter, ...] = (Meter(0.0, 4, 4),)
    tracks: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        if self.notes.dtype != NOTE_DTYPE:
            raise ValueError(f"notes must have NOTE_DTYPE, got {self.notes.dtype}")
        order = np.lexsort([self.notes[k] for k in ("track", "pitch", "program", "drum", "start_s")])
        object.__setattr__(self, "notes", self.notes[order])

    def __len__(self) -> int:
        return len(self.notes)

    def crop(self, start_s: float, end_s: float) -> Score:
        """Notes that begin in [start_s, end_s), moved so that start_s becomes 0 and cut at end_s."""
        inside = (self.notes["start_s"] >= start_s) & (self.notes["start_s"] < end_s)
        notes = self.notes[inside].copy()
        notes["end_s"] = np.minimum(notes["end_s"], end_s)
        notes["start_s"] -= start_s
        notes["end_s"] -= start_s
        first_beat = float(self.tempo_map.to_beats(start_s))
        tempo_map = TempoMap(self.tempo_map.beats - first_beat, self.tempo_map.seconds - start_s)
        notes["start_beat"] = tempo_map.to_beats(notes["start_s"])
        notes["end_beat"] = tempo_map.to_beats(notes["end_s"])
        meters = meters_from(self.meters, first_beat)
        return replace(self, notes=notes, tempo_map=tempo_map, duration_s=end_s - start_s, meters=meters)

    def main_meter(self) -> Meter:
        """The time signature under which most notes begin, where it stands first: an upbeat may be a meter itself."""
        starts = np.array([meter.start_beat for meter in self.meters[1:]])
        under = np.searchsorted(starts, self.notes["start_beat"] + 1e-6, side="right")
        counts: dict[tuple[int, int], int] = {}
        for meter, count in zip(self.meters, np.bincount(under, minlength=len(self.meters)).tolist(), strict=True):
            key = (meter.numerator, meter.denominator)
            counts[key] = counts.get(key, 0) + count
        most = max(counts, key=lambda key: counts[key])
        return next(meter for meter in self.meters if (meter.numerator, meter.denominator) == most)

    def in_main_meter(self) -> Score:
        """The same music with `main_meter` as its only meter, for bars that are to be counted by it elsewhere, too."""
        return replace(self, meters=meters_from((self.main_meter(),), 0.0))

    def from_bar_line(self) -> Score:
        """The same music in the same seconds, with beat 0 on the bar line from which its bars are counted.

        That is the first one at or after second 0, or the one before the first note where a note stands earlier. Bar
        lines are those of `main_meter`, throughout; a note up to a 32nd before one belongs to the bar behind it, for
        people play early. What counts bars or steps from beat 0 needs this of a piece that begins between two lines.
        """
        meter = self.main_meter()
        begin = (float(self.tempo_map.to_beats(0.0)) - meter.start_beat) / meter.bar_beats
        number = np.ceil(begin - 1e-6)
        if len(self.notes):
            first = float(self.notes["start_beat"].min()) - meter.start_beat
            number = min(number, np.floor((first + 0.125) / meter.bar_beats + 1e-9))
        line = meter.start_beat + float(number) * meter.bar_beats
        if line == 0.0:
            return self
        notes = self.notes.copy()
        for edge in ("start_beat", "end_beat"):
            notes[edge] -= line
        tempo_map = TempoMap(self.tempo_map.beats - line, self.tempo_map.seconds)
        return replace(self, notes=notes, tempo_map=tempo_map, meters=meters_from(self.meters, line))


def meters_from(meters: tuple[Meter, ...], beat: float) -> tuple[Meter, ...]:
    """Meters with `beat` as beat 0: that in force there comes first, from its bar line at or before."""
    moved = [replace(meter, start_beat=meter.start_beat - beat) for meter in meters]
    while len(moved) > 1 and moved[1].start_beat <= 1e-6:
        moved.pop(0)
    ahead = max(0.0, np.ceil(moved[0].start_beat / moved[0].bar_beats - 1e-6))
    moved[0] = replace(moved[0], start_beat=moved[0].start_beat - float(ahead) * moved[0].bar_beats)
    return tuple(moved)


def make_notes(rows: Iterable[Mapping[str, float | int | bool]], tempo_map: TempoMap) -> NDArray[np.void]:
    """A note table from dicts with `pitch` and a start and end in beats or in seconds.

    Each row gives `start_beat`/`end_beat` or `start_s`/`end_s` (the other pair follows from the tempo
    map) and may give `velocity` (default 80), `program` (0), `drum` (False) and `track` (0).
    """
    rows = list(rows)
    notes = np.zeros(len(rows), NOTE_DTYPE)
    in_beats = np.array(["start_beat" in row for row in rows], dtype=bool)
    for i, row in enumerate(rows):
        notes["velocity"][i] = 80
        for key, value in row.items():
            notes[key][i] = value
    for edge in ("start", "end"):
        notes[f"{edge}_s"][in_beats] = tempo_map.to_seconds(notes[f"{edge}_beat"][in_beats])
        notes[f"{edge}_beat"][~in_beats] = tempo_map.to_beats(notes[f"{edge}_s"][~in_beats])
    return notes


Alignment = Literal["exact", "proved", "unproved", "none"]
"""`exact`: sound rendered from these notes; `proved`: a stated check passed; `unproved`: quarantined
before it reaches a prepared set; `none`: there is nothing to align (notes only, or audio only)."""


@dataclass(frozen=True)
class AudioTrack:
    """One recorded or rendered track of a piece on the piece's own clock (second 0 = second 0)."""

    name: str
    path: Path
    sha256: str = ""


@dataclass(frozen=True)
class Piece:
    """What a corpus yields, one piece at a time.

    Attributes:
        id: unique in its corpus and stable between runs; splits are by piece.
        score: notes, or None for audio alone.
        audio: named audio tracks; empty when notes alone, or when a recipe renders them.
        labels: controls and metadata: style, key, tempo_bpm, split, ...
        licence: as printed before download and copied to every manifest.
    """

    id: str
    score: Score | None
    audio: tuple[AudioTrack, ...] = ()
    labels: Mapping[str, str | float | int] = field(default_factory=dict)
    licence: str = ""
    alignment: Alignment = "none"
