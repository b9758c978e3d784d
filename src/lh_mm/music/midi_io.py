"""MIDI files as scores; `write_midi` of the file beside this one is the way back.

What is read: the tempo map, meters, tracks (one for each track chunk, channel and program, so a program
change in mid-track begins a new one, and equal programs in different chunks stay apart), channel 10 as
drums, velocity, and the sustain pedal if asked. Bank select, other controllers, pitch bend and text are
not kept.
"""

from __future__ import annotations

from collections import defaultdict, deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.music.midi_write import midi_bytes, write_midi
from lh_mm.music.score import NOTE_DTYPE, Meter, Score
from lh_mm.music.smf import (
    CONTROL,
    DRUM_CHANNEL,
    NOTE_OFF,
    NOTE_ON,
    PROGRAM_CHANGE,
    SET_TEMPO,
    TIME_SIGNATURE,
    TRACK_NAME,
    MidiError,
    Smf,
    SmfTrack,
    parse_smf,
)

__all__ = ["MAX_DURATION_S", "MidiError", "midi_bytes", "read_midi", "write_midi"]

SUSTAIN = 64
MAX_DURATION_S = 6 * 3600.0
"""A longer file is taken for a damaged one."""

_RawNote = tuple[int, int, int, int, int]
"""(start tick, end tick, pitch, velocity, program)"""


def read_midi(
    source: Path | str | bytes, *, apply_sustain: bool = False, max_duration_s: float = MAX_DURATION_S
) -> Score:
    """Reads a MIDI file, or the bytes of one.

    Equal pitches of one channel that overlap are paired first in, first out; a note that nothing ends
    lasts to the end of its track; a note's beats are quarter notes from the file's start.

    Args:
        source: path or content.
        apply_sustain: lengthen notes held by the sustain pedal (controller 64) until it is released or their
            chunk plays the same pitch again; a pedal is its channel's, whichever chunk moves it, but for chunks that
            set programs of their own there: these are instruments apart.
        max_duration_s: longest piece that is believed.

    Raises:
        MidiError: if the file is no MIDI file, damaged, without notes, or absurdly long.
        FileNotFoundError: if there is no such file.
    """
    name: Path | str = "<bytes>" if isinstance(source, bytes) else source
    smf = parse_smf(source if isinstance(source, bytes) else Path(source).read_bytes(), name)
    if smf.format == 2 and len(smf.tracks) > 1:
        raise MidiError(name, "MIDI format 2 (independent sequences) is not a piece of music")
    tempo_map = _read_tempo_map(smf, name)
    scale = smf.ticks_per_beat or 480  # beats are nominal where time is in frames
    programs = _global_programs(smf)

    tracks: list[str] = []
    tables: list[NDArray[np.void]] = []
    for chunk, pedals in zip(smf.tracks, _pedals(smf) if apply_sustain else [{}] * len(smf.tracks), strict=True):
        title = next((_text(data) for _, kind, data in chunk.metas if kind == TRACK_NAME), "")
        for channel, raw in sorted(_read_notes(chunk, programs, pedals).items()):
            table = np.array(raw, np.int64)  # (notes, 5)
            for program in np.unique(table[:, 4]).tolist():
                part = table[table[:, 4] == program]
                notes = np.zeros(len(part), NOTE_DTYPE)
                notes["start_beat"], notes["end_beat"] = part[:, 0] / scale, part[:, 1] / scale
                notes["pitch"], notes["velocity"] = part[:, 2], part[:, 3]
                notes["program"], notes["drum"] = program, channel == DRUM_CHANNEL
                notes["track"] = min(len(tracks), 255)
                tracks.append(title)
                tables.append(notes)
    if not tables:
        raise MidiError(name, "it has no notes")
    if len(tracks) > 256:
        raise MidiError(name, f"{len(tracks)} tracks with notes; at most 256 can be told apart")
    notes = np.concatenate(tables)
    notes["start_s"], notes["end_s"] = (tempo_map.to_seconds(notes[k]) for k in ("start_beat", "end_beat"))
    last_beat = max(track.end_tick for track in smf.tracks) / scale
    duration_s = max(float(tempo_map.to_seconds(last_beat)), float(notes["end_s"].max()))
    if not duration_s <= max_duration_s:
        raise MidiError(name, f"it lasts {duration_s / 3600:.1f} h, more than {max_duration_s / 3600:.1f} h")
    return Score(notes, tempo_map, duration_s, _read_meters(smf, scale), tuple(tracks))


def _text(data: bytes) -> str:
    """A name as UTF-8, else Latin-1, which never fails."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\x00", "").strip()


def _read_tempo_map(smf: Smf, name: Path | str) -> TempoMap:
    if smf.ticks_per_second:
        return TempoMap.constant(60.0 * smf.ticks_per_second / 480)
    changes = {0: 500_000}  # 120 bpm until a file says otherwise
    metas = [(tick, data) for track in smf.tracks for tick, kind, data in track.metas if kind == SET_TEMPO]
    for tick, data in sorted(metas, key=lambda meta: meta[0]):  # stable: of two at a tick the later one counts
        tempo = int.from_bytes(data, "big")
        if len(data) != 3 or tempo == 0:
            raise MidiError(name, f"the tempo at tick {tick} is damaged or zero: {data!r}")
        changes[tick] = tempo
    try:
        return TempoMap.from_tempos([(tick / smf.ticks_per_beat, 60e6 / us) for tick, us in sorted(changes.items())])
    except ValueError as error:
        raise MidiError(name, f"its tempo changes make no time line: {error}") from None


def _read_meters(smf: Smf, scale: int) -> tuple[Meter, ...]:
    meters = {0: (4, 4)}
    for track in smf.tracks:
        for tick, kind, data in track.metas:
            # A damaged signature is passed over: it moves no note.
            if kind == TIME_SIGNATURE and len(data) >= 2 and data[0] and data[1] <= 6:
                meters[tick] = (data[0], 1 << data[1])
    return tuple(Meter(tick / scale, *value) for tick, value in sorted(meters.items()))


def _global_programs(smf: Smf) -> dict[int, list[tuple[int, int]]]:
    """(tick, program) changes of each channel over all tracks, for chunks that set none themselves."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for track in smf.tracks:
        for tick, status, program, _ in track.messages:
            if status & 0xF0 == PROGRAM_CHANGE:
                found[status & 0x0F].append((tick, program))
    return {channel: sorted(changes) for channel, changes in found.items()}


def _pedals(smf: Smf) -> list[dict[int, list[tuple[int, bool]]]]:
    """For each chunk the (tick, pressed) moves of each channel's sustain pedal that hold its notes.

    A channel has one pedal, whoever moves it; but many files put every instrument on one channel, each chunk with its
    program, and there a piano's pedal is not the strings'.
    """
    moves: list[dict[int, list[tuple[int, bool]]]] = []
    programs: list[dict[int, set[int]]] = []
    for track in smf.tracks:
        moves.append(defaultdict(list))
        programs.append(defaultdict(set))
        for tick, status, first, second in track.messages:
            if status & 0xF0 == CONTROL and first == SUSTAIN:
                moves[-1][status & 0x0F].append((tick, second >= 64))
            elif status & 0xF0 == PROGRAM_CHANGE:
                programs[-1][status & 0x0F].add(first)
    found: list[dict[int, list[tuple[int, bool]]]] = [defaultdict(list) for _ in smf.tracks]
    for by, own in enumerate(moves):
        for channel, each in own.items():
            there = programs[by].get(channel)
            for i, mine in enumerate(programs):
                here = mine.get(channel)
                if i == by or not here or not there or here & there:
                    found[i][channel] += each
    # By tick alone, which is stable: at one tick a chunk's moves keep their order, of which the last one counts.
    return [{channel: sorted(each, key=lambda move: move[0]) for channel, each in own.items()} for own in found]


def _read_notes(
    chunk: SmfTrack, programs: dict[int, list[tuple[int, int]]], pedals: dict[int, list[tuple[int, bool]]]
) -> dict[int, list[_RawNote]]:
    """The notes of one chunk by channel, held by its pedals."""
    notes: dict[int, list[_RawNote]] = defaultdict(list)
    waiting: dict[int, deque[tuple[int, int, int]]] = defaultdict(deque)  # by channel * 128 + pitch
    program = [0] * 16
    own = {status & 0x0F for _, status, _, _ in chunk.messages if status & 0xF0 == PROGRAM_CHANGE}
    for tick, status, first, second in chunk.messages:
        kind, channel = status & 0xF0, status & 0x0F
        if kind == NOTE_ON and second:
            if channel == DRUM_CHANNEL:
                now = 0
            elif channel in own or channel not in programs:
                now = program[channel]
            else:
                now = next((p for at, p in reversed(programs[channel]) if at <= tick), 0)
            waiting[channel * 128 + first].append((tick, second, now))
        elif kind in (NOTE_OFF, NOTE_ON):
            queue = waiting[channel * 128 + first]
            if queue:
                start, velocity, begun_with = queue.popleft()
                notes[channel].append((start, tick, first, velocity, begun_with))
        elif kind == PROGRAM_CHANGE:
            program[channel] = first
    for key, queue in waiting.items():
        for start, velocity, begun_with in queue:
            notes[key // 128].append((start, max(chunk.end_tick, start), key % 128, velocity, begun_with))
    for channel, moves in pedals.items():
        if channel in notes and channel != DRUM_CHANNEL:
            notes[channel] = _sustain(notes[channel], moves, chunk.end_tick)
    return notes


def _sustain(notes: list[_RawNote], moves: list[tuple[int, bool]], end_tick: int) -> list[_RawNote]:
    """Ends that fall while the pedal is down move to its release or to the next onset of the pitch."""
    ticks = np.array([tick for tick, _ in moves])
    down = [pressed for _, pressed in moves]
    onsets: dict[int, list[int]] = defaultdict(list)
    for start, _, pitch, _, _ in sorted(notes):
        onsets[pitch].append(start)
    held: list[_RawNote] = []
    for start, end, pitch, velocity, program in notes:
        move = int(np.searchsorted(ticks, end, side="right")) - 1
        if move >= 0 and down[move]:
            release = next((t for t, pressed in moves[move + 1 :] if not pressed), end_tick)
            again = onsets[pitch]
            following = int(np.searchsorted(again, start, side="right"))
            limit = again[following] if following < len(again) else release
            end = max(end, min(release, limit))
        held.append((start, end, pitch, velocity, program))
    return held
