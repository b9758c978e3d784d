"""Scores as MIDI files: enough ticks for the clock, every track kept apart.

Notes are placed by their seconds, not by their beats, so that a file says exactly what the slots of a
merged sequence said, whatever the tempo map. The inverse is `lh_mm.music.midi_io.read_midi`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.core.files import write_atomic
from lh_mm.music.score import Meter, Score
from lh_mm.music.smf import (
    DRUM_CHANNEL,
    NOTE_OFF,
    NOTE_ON,
    PROGRAM_CHANGE,
    SET_TEMPO,
    TIME_SIGNATURE,
    TRACK_NAME,
    Smf,
    SmfTrack,
    write_smf,
)


def write_midi(
    score: Score, path: Path | str, ticks_per_beat: int = 480, min_tick_rate_hz: float | None = None
) -> None:
    """Writes a score as a MIDI file of format 1, whole or not at all.

    Args:
        score: what to write; its second 0 becomes tick 0.
        path: file to write.
        ticks_per_beat: resolution.
        min_tick_rate_hz: least ticks a second at the slowest tempo; for a piece decoded from slots
            8 * rate_hz. The resolution is doubled until it is enough.

    Raises:
        ValueError: if no resolution is enough (at most 32,767 ticks a beat), or a tempo is unwritable.
    """
    content = midi_bytes(score, ticks_per_beat, min_tick_rate_hz)
    with write_atomic(path) as file:
        file.write(content)


def midi_bytes(score: Score, ticks_per_beat: int = 480, min_tick_rate_hz: float | None = None) -> bytes:
    """The content of `write_midi`'s file.

    Notes stand at the tick nearest to their *seconds* under the tempos as written (whole microseconds a
    beat). Programs of one track that differ become tracks of their own. Each of the first 15 pitched
    tracks has a channel of its own; from the 16th on, tracks of one program share a channel, and beyond
    15 programs channels are used again: every track still says its program, as readers of files expect,
    but a synthesizer that plays the file live may confuse such tracks.
    """
    first_beat = float(score.tempo_map.to_beats(0.0))
    changes, start_beat = _tempo_changes(score.tempo_map, first_beat, float(score.tempo_map.to_beats(score.duration_s)))
    if min_tick_rate_hz is not None:
        slowest_s = max(us for _, us in changes) / 1e6
        while ticks_per_beat / slowest_s < min_tick_rate_hz:
            ticks_per_beat *= 2
    if not 1 <= ticks_per_beat <= 32767:
        raise ValueError(f"ticks_per_beat must lie in 1..32767, got {ticks_per_beat} (min_tick_rate_hz too high?)")
    written = TempoMap.from_tempos([(beat, 60e6 / us) for beat, us in changes])

    def ticks(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(written.to_beats(seconds) * ticks_per_beat, 0.0)

    notes = score.notes
    # Never later than the duration: a tick more would be one frame more when it is read.
    end_tick = int(ticks(np.array([score.duration_s]))[0] + 1e-6)
    starts = np.rint(ticks(notes["start_s"])).astype(np.int64)
    ends = np.rint(ticks(notes["end_s"])).astype(np.int64)
    ends = np.maximum(np.minimum(ends, end_tick), starts + 1)
    end_tick = max(end_tick, int(ends.max(initial=0)))

    metas = [(round(beat * ticks_per_beat), SET_TEMPO, us.to_bytes(3, "big")) for beat, us in changes]
    for beat, meter in _bar_anchors(score.meters, start_beat):
        signature = bytes([meter.numerator, meter.denominator.bit_length() - 1, 24, 8])
        metas.append((round(beat * ticks_per_beat), TIME_SIGNATURE, signature))
    tracks = [SmfTrack([], sorted(metas), end_tick)]

    part_of = (notes["track"].astype(np.int64) * 2 + notes["drum"]) * 128 + notes["program"]
    parts = [(code // 256, bool(code // 128 % 2), code % 128) for code in np.unique(part_of).tolist()]
    for (track, drum, program), channel in zip(parts, _channels(parts), strict=True):
        mine = part_of == (track * 2 + drum) * 128 + program
        rows = [
            (tick, on, NOTE_ON if on else NOTE_OFF, pitch, velocity)
            for begin, end, pitch, loud in zip(
                starts[mine].tolist(),
                ends[mine].tolist(),
                notes["pitch"][mine].tolist(),
                notes["velocity"][mine].tolist(),
                strict=True,
            )
            for tick, on, velocity in ((begin, 1, max(1, loud)), (end, 0, 0))
        ]
        rows.sort(key=lambda row: row[:2])  # at one tick ends come first
        messages = [(0, PROGRAM_CHANGE | channel, program, 0)] if not drum else []
        messages += [(tick, kind | channel, pitch, velocity) for tick, _, kind, pitch, velocity in rows]
        name = score.tracks[track] if track < len(score.tracks) else ""
        tracks.append(SmfTrack(messages, [(0, TRACK_NAME, name.encode())], end_tick))
    return write_smf(Smf(1, ticks_per_beat, 0.0, tracks))


def _tempo_changes(tempo_map: TempoMap, first_beat: float, last_beat: float) -> tuple[list[tuple[float, int]], float]:
    """Tempos as (MIDI beat, microseconds a beat), and the score's beat that is MIDI beat 0.

    If second 0 falls between two beats (annotated beats do that), the part up to the next whole beat
    becomes one MIDI beat of its own tempo, so that beats stay on the file's grid.
    """
    base = float(np.ceil(first_beat - 1e-6))
    lead_s = float(tempo_map.to_seconds(base))
    changes: list[tuple[float, float]] = []  # (score beat, seconds a beat)
    if lead_s >= 1e-3:
        changes.append((base - 1.0, lead_s))
    inner = tempo_map.beats[1:-1]
    inner = inner[(inner > base) & (inner < last_beat)]
    for beat in [base, *inner.tolist()]:
        length_s = 60.0 / tempo_map.tempo_bpm(beat)
        if not changes or abs(length_s - changes[-1][1]) > 1e-12:
            changes.append((beat, length_s))
    start_beat = changes[0][0]
    out = [(beat - start_beat, round(length_s * 1e6)) for beat, length_s in changes]
    for beat, us in out:
        if not 1 <= us < 1 << 24:
            raise ValueError(f"a beat of {us / 1e6} s (MIDI beat {beat:.2f}) cannot be written: at most 16.7 s")
    return out, start_beat


def _bar_anchors(meters: tuple[Meter, ...], start_beat: float) -> list[tuple[float, Meter]]:
    """(MIDI beat, meter): meters that began before the file do so at 0, and again at their next bar."""
    anchors: dict[float, Meter] = {}
    for meter in meters:
        begins = meter.start_beat - start_beat
        if begins < -1e-6:
            anchors = {0.0: meter}
            begins = begins % meter.bar_beats
            if min(begins, meter.bar_beats - begins) < 1e-6:
                continue
        anchors[max(0.0, begins)] = meter
    return sorted(anchors.items(), key=lambda anchor: anchor[0])


def _channels(parts: list[tuple[int, bool, int]]) -> list[int]:
    """A channel for each (track, drum, program): see `midi_bytes`."""
    free = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    pitched = [part for part in parts if not part[1]]
    programs = sorted({program for _, _, program in pitched})
    channels: list[int] = []
    given = 0
    for _, drum, program in parts:
        if drum:
            channels.append(DRUM_CHANNEL)
            continue
        index = given if len(pitched) <= len(free) else programs.index(program)
        channels.append(free[index % len(free)])
        given += 1
    return channels
