"""Standard MIDI Files, bytes to events and back, in plain Python.

Why not a C++ parser: a malformed file has crashed the whole process in one (symusic issue 104), and a
corpus of strangers' files will hold such a file. Everything here is checked before it is read, so the
worst a file can do is raise `MidiError`. It costs a few milliseconds a song; files are read once, when a
corpus is prepared. After the MIDI 1.0 specification's file format (RP-001).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOTE_OFF, NOTE_ON, CONTROL, PROGRAM_CHANGE, PITCH_BEND = 0x80, 0x90, 0xB0, 0xC0, 0xE0
DRUM_CHANNEL = 9
TRACK_NAME, END_OF_TRACK, SET_TEMPO, TIME_SIGNATURE = 0x03, 0x2F, 0x51, 0x58


class MidiError(ValueError):
    """A MIDI file that cannot be used, with the file's name and the reason."""

    def __init__(self, source: Path | str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


@dataclass(frozen=True)
class SmfTrack:
    """One track chunk.

    Attributes:
        messages: channel messages (tick, status, data 1, data 2) in order; data 2 is 0 where there is none.
        metas: (tick, type, data) in order; system-exclusive messages are passed over.
        end_tick: tick of the last event, which is the end of track where there is one.
    """

    messages: list[tuple[int, int, int, int]]
    metas: list[tuple[int, int, bytes]]
    end_tick: int


@dataclass(frozen=True)
class Smf:
    """A parsed file.

    Attributes:
        format: 0 (one track), 1 (tracks play together) or 2 (tracks play one after another).
        ticks_per_beat: resolution, or 0 where time is in frames (SMPTE).
        ticks_per_second: resolution of SMPTE time, or 0.
        tracks: in order of the file.
    """

    format: int
    ticks_per_beat: int
    ticks_per_second: float
    tracks: list[SmfTrack]


def parse_smf(data: bytes, source: Path | str = "<bytes>") -> Smf:
    """Parses a whole file, plain or inside a RIFF (RMID) wrapper.

    Unknown chunks and what follows the last track are passed over; a chunk that is cut short, or a
    broken event, is an error.

    Raises:
        MidiError: naming `source` and the reason.
    """
    if not data:
        raise MidiError(source, "the file is empty")
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        start = data.find(b"MThd", 12, 64)
        data = data[start:] if start >= 0 else data
    if data[:4] != b"MThd":
        raise MidiError(source, f"not a MIDI file: it begins with {data[:4]!r}, not b'MThd'")
    if len(data) < 14:
        raise MidiError(source, f"truncated: the header needs 14 bytes, the file has {len(data)}")
    length = int.from_bytes(data[4:8], "big")
    smf_format, num_tracks, division = (int.from_bytes(data[k : k + 2], "big") for k in (8, 10, 12))
    if length < 6 or 8 + length > len(data):
        raise MidiError(source, f"damaged header: its length is given as {length}")
    if smf_format > 2:
        raise MidiError(source, f"MIDI format {smf_format} does not exist (0, 1 or 2)")
    ticks_per_beat, ticks_per_second = division, 0.0
    if division & 0x8000:
        frames = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}.get(256 - (division >> 8), 0.0)
        ticks_per_beat, ticks_per_second = 0, frames * (division & 0xFF)
    if not (ticks_per_beat or ticks_per_second):
        raise MidiError(source, f"no time resolution: division is {division:#06x}")

    tracks: list[SmfTrack] = []
    position = 8 + length
    while len(tracks) < num_tracks:
        if position + 8 > len(data):
            raise MidiError(source, f"truncated: {len(tracks)} of {num_tracks} tracks are there")
        kind, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        if position + size > len(data):
            raise MidiError(source, f"truncated: chunk {kind!r} needs {size} bytes, {len(data) - position} are left")
        if kind == b"MTrk":
            try:
                tracks.append(_parse_track(data[position : position + size]))
            except (IndexError, ValueError) as error:
                reason = str(error) if isinstance(error, ValueError) else "an event runs past the track's end"
                raise MidiError(source, f"track {len(tracks)} is damaged: {reason}") from None
        position += size
    return Smf(smf_format, ticks_per_beat, ticks_per_second, tracks)


def _parse_track(chunk: bytes) -> SmfTrack:
    """One chunk's events. Raises IndexError past the end, ValueError for a broken event."""
    messages: list[tuple[int, int, int, int]] = []
    metas: list[tuple[int, int, bytes]] = []
    position, tick, running, size = 0, 0, 0, len(chunk)
    while position < size:
        # Delta time: the commonest case is one byte.
        byte = chunk[position]
        position += 1
        if byte < 0x80:
            tick += byte
        else:
            position -= 1
            delta, position = _variable_length(chunk, position)
            tick += delta
        status = chunk[position]
        if status < 0x80:
            status = running
            if not status:
                raise ValueError("data where a status byte is due")
        else:
            position += 1
        if status < 0xF0:
            running = status
            first = chunk[position]
            if status & 0xE0 == 0xC0:  # program change and channel pressure have one data byte
                second = 0
                position += 1
            else:
                second = chunk[position + 1]
                position += 2
            if (first | second) & 0x80:
                raise ValueError(f"data byte above 127 at tick {tick}")
            messages.append((tick, status, first, second))
        elif status == 0xFF:
            kind = chunk[position]
            length, position = _variable_length(chunk, position + 1)
            if position + length > size:
                raise IndexError
            metas.append((tick, kind, chunk[position : position + length]))
            position += length
            if kind == END_OF_TRACK:
                break
        elif status in (0xF0, 0xF7):
            length, position = _variable_length(chunk, position)
            if position + length > size:
                raise IndexError
            position += length
            running = 0
        else:
            raise ValueError(f"status {status:#x} has no place in a file")
    return SmfTrack(messages, metas, tick)


def _variable_length(chunk: bytes, position: int) -> tuple[int, int]:
    """A variable-length number and the position after it."""
    value = 0
    for _ in range(4):
        byte = chunk[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position
    raise ValueError("a variable-length number has more than four bytes")


def write_smf(smf: Smf) -> bytes:
    """The bytes of a file; the inverse of `parse_smf` for what it keeps.

    At one tick metas come first, then messages in the order given, which must not go back in time.
    """
    chunks = [b"MThd", (6).to_bytes(4, "big")]
    chunks += [k.to_bytes(2, "big") for k in (smf.format, len(smf.tracks), smf.ticks_per_beat)]
    for track in smf.tracks:
        events: list[tuple[int, bytes]] = [
            (tick, bytes([0xFF, kind]) + _to_variable_length(len(data)) + data) for tick, kind, data in track.metas
        ]
        for tick, status, first, second in track.messages:
            one_byte = status & 0xE0 == 0xC0
            events.append((tick, bytes([status, first] if one_byte else [status, first, second])))
        events.sort(key=lambda event: event[0])
        last = events[-1][0] if events else 0
        events.append((max(track.end_tick, last), bytes([0xFF, END_OF_TRACK, 0])))
        body = bytearray()
        before = 0
        for tick, encoded in events:
            body += _to_variable_length(tick - before) + encoded
            before = tick
        chunks += [b"MTrk", len(body).to_bytes(4, "big"), bytes(body)]
    return b"".join(chunks)


def _to_variable_length(value: int) -> bytes:
    if 0 <= value < 0x80:
        return bytes([value])
    if not 0 <= value < 1 << 28:
        raise ValueError(f"{value} does not fit a MIDI variable-length number (0..{(1 << 28) - 1})")
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))
