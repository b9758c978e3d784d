"""MIDI files: what is read, what is written, and that damaged files end in one kind of error."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core.clock import TempoMap, num_frames_for
from lh_mm.music.events import EventVocabulary, decode_events
from lh_mm.music.midi_io import MidiError, midi_bytes, read_midi, write_midi
from lh_mm.music.score import NOTE_DTYPE, Meter, Score
from lh_mm.music.smf import SET_TEMPO, TIME_SIGNATURE, Smf, SmfTrack, parse_smf, write_smf

ON, OFF = 0x90, 0x80


def file_of(*tracks: list[tuple[int, int, int, int]], metas: tuple = (), tpb: int = 480, end: int = 1920) -> bytes:
    chunks = [SmfTrack(list(messages), list(metas) if i == 0 else [], end) for i, messages in enumerate(tracks)]
    return write_smf(Smf(1, tpb, 0.0, chunks))


def score_of(notes: list[tuple], tempo_map: TempoMap, duration_s: float, **more: object) -> Score:
    """Notes (start_s, end_s, pitch, velocity, program, drum, track)."""
    table = np.zeros(len(notes), NOTE_DTYPE)
    for i, (start, end, *rest) in enumerate(notes):
        table[i] = (start, end, 0, 0, *rest)
    table["start_beat"], table["end_beat"] = (tempo_map.to_beats(table[k]) for k in ("start_s", "end_s"))
    return Score(table, tempo_map, duration_s, **more)  # type: ignore[arg-type]


def test_tempo_changes_meters_names_and_end_are_read() -> None:
    metas = (
        (0, 0x03, "Strings ♯".encode()),
        (0, TIME_SIGNATURE, bytes([3, 2, 24, 8])),
        (960, TIME_SIGNATURE, bytes([6, 3, 24, 8])),
        (480, SET_TEMPO, (1_000_000).to_bytes(3, "big")),
        (480, SET_TEMPO, (250_000).to_bytes(3, "big")),  # of two at one tick the later one counts
    )
    score = read_midi(file_of([(0, ON, 60, 90), (960, OFF, 60, 0)], metas=metas))
    assert score.notes["end_s"].tolist() == [0.5 + 0.25] and score.notes["end_beat"].tolist() == [2.0]
    assert score.tracks == ("Strings ♯",) and score.duration_s == pytest.approx(0.5 + 3 * 0.25)
    assert score.meters == (Meter(0.0, 3, 4), Meter(2.0, 6, 8)) and score.meters[1].bar_beats == 3.0


def test_a_track_for_each_chunk_channel_and_program() -> None:
    first = [
        (0, 0xC0, 5, 0), (0, ON, 60, 1), (10, OFF, 60, 0),
        (20, 0xC0, 7, 0), (20, ON, 62, 2), (30, ON, 62, 0),  # another program; velocity 0 ends
        (20, ON | 9, 36, 3), (30, OFF | 9, 36, 0),
    ]  # fmt: skip
    second = [(0, 0xC1, 5, 0), (0, ON | 1, 60, 4), (10, OFF | 1, 60, 0)]
    notes = read_midi(file_of(first, second)).notes
    rows = {int(n["velocity"]): (int(n["program"]), bool(n["drum"]), int(n["track"])) for n in notes}
    assert rows == {1: (5, False, 0), 2: (7, False, 1), 3: (0, True, 2), 4: (5, False, 3)}


def test_a_program_set_in_a_set_up_track_counts_for_the_channel() -> None:
    score = read_midi(file_of([(0, 0xC3, 40, 0)], [(0, ON | 3, 60, 64), (9, OFF | 3, 60, 0)]))
    assert score.notes["program"].tolist() == [40]


def test_equal_pitches_pair_first_in_first_out_and_open_ones_end_with_the_track() -> None:
    score = read_midi(file_of([(0, ON, 60, 1), (480, ON, 60, 2), (960, OFF, 60, 0), (0, ON, 64, 3)]))
    ends = {int(n["velocity"]): float(n["end_beat"]) for n in score.notes}
    assert ends == {1: 2.0, 2: 4.0, 3: 4.0}


def test_the_sustain_pedal_is_applied_only_if_asked() -> None:
    played = [
        (0, ON, 60, 1), (0, ON, 62, 2), (100, 0xB0, 64, 127), (240, OFF, 60, 0), (240, OFF, 62, 0),
        (720, ON, 60, 3), (960, 0xB0, 64, 0), (1200, OFF, 60, 0),
    ]  # fmt: skip

    def ends(sustain: bool) -> dict[int, float]:
        notes = read_midi(file_of(played), apply_sustain=sustain).notes
        return {int(n["velocity"]): float(n["end_beat"]) for n in notes}

    assert ends(False) == {1: 0.5, 2: 0.5, 3: 2.5}
    assert ends(True) == {1: 1.5, 2: 2.0, 3: 2.5}  # until struck again; until released; pedal was up


def test_a_channels_pedal_holds_the_notes_of_every_chunk(tmp_path: Path) -> None:
    def chunk(*messages: tuple[int, str, dict[str, int]]) -> mido.MidiTrack:
        track, now = mido.MidiTrack(), 0
        for tick, kind, values in messages:
            track.append(mido.Message(kind, time=tick - now, **values))
            now = tick
        track.append(mido.MetaMessage("end_of_track", time=1920 - now))
        return track

    def note(start: int, end: int, pitch: int, channel: int = 2) -> list[tuple[int, str, dict[str, int]]]:
        values = {"note": pitch, "velocity": pitch, "channel": channel}
        return [(start, "note_on", values), (end, "note_off", values)]

    def pedal(tick: int, value: int) -> tuple[int, str, dict[str, int]]:
        return tick, "control_change", {"control": 64, "value": value, "channel": 2}

    def program(number: int) -> tuple[int, str, dict[str, int]]:
        return 0, "program_change", {"program": number, "channel": 2}

    chunks = [
        chunk(program(0), *note(0, 240, 60), pedal(480, 0)),  # the release alone
        chunk(pedal(100, 127), pedal(960, 127)),  # no notes: a chunk of controllers
        chunk(
            program(48), *note(0, 240, 62), *note(960, 1200, 64), pedal(1440, 0)
        ),  # another program, the same channel: an instrument apart, which does not hear the first chunk's release
        chunk(*note(0, 240, 66, channel=3)),  # another channel has a pedal of its own
        chunk(program(0), *note(0, 240, 61)),  # the other hand
        chunk(*note(0, 240, 59)),  # no program of its own
    ]
    for order in ((0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0)):
        mido.MidiFile(type=1, ticks_per_beat=480, tracks=[chunks[i] for i in order]).save(tmp_path / "song.mid")
        for sustain, expected in (
            (True, {60: 1.0, 62: 3.0, 64: 3.0, 66: 0.5, 61: 1.0, 59: 1.0}),
            (False, {60: 0.5, 62: 0.5, 64: 2.5, 66: 0.5, 61: 0.5, 59: 0.5}),
        ):
            notes = read_midi(tmp_path / "song.mid", apply_sustain=sustain).notes
            assert {int(n["pitch"]): float(n["end_beat"]) for n in notes} == expected
            programs = {int(n["pitch"]): int(n["program"]) for n in notes if n["pitch"] != 59}
            assert programs == {60: 0, 62: 48, 64: 48, 66: 0, 61: 0}


def test_running_status_sysex_riff_and_smpte_time() -> None:
    body = bytes.fromhex("00 f0 03 01 02 f7 00 90 3c 40 19 3c 00 00 ff 2f 00")  # 25 ticks, second on by running status
    header = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 256 - 25, 40])  # 25 frames of 40 ticks: milliseconds
    plain = header + b"MTrk" + len(body).to_bytes(4, "big") + body
    for content in (plain, b"RIFF\x00\x00\x00\x00RMIDdata" + len(plain).to_bytes(4, "little") + plain):
        score = read_midi(content)
        assert score.notes["end_s"].tolist() == pytest.approx([0.025])


GOOD = file_of([(0, ON, 60, 90), (480, OFF, 60, 0)])
TRACK = GOOD.index(b"MTrk")


def with_tempo(microseconds: int) -> bytes:
    return file_of([(0, ON, 60, 90), (480, OFF, 60, 0)], metas=((0, SET_TEMPO, microseconds.to_bytes(3, "big")),))


BROKEN = {
    "the file is empty": b"",
    "not a MIDI file": b"RIFF....WAVEfmt ",
    "header needs 14": GOOD[:12],
    "truncated: chunk": GOOD[:-5],
    "truncated: 0 of 1": GOOD[:TRACK],
    "format 9": GOOD[:9] + b"\x09" + GOOD[10:],
    "format 2": GOOD[:9] + b"\x02" + GOOD[10:11] + b"\x02" + GOOD[12:] + GOOD[TRACK:],
    "time resolution": GOOD[:12] + b"\x00\x00" + GOOD[14:],
    "no notes": file_of([(0, 0xC0, 5, 0)]),
    "runs past": GOOD[:TRACK] + b"MTrk\x00\x00\x00\x03\x00\x90\x3c",
    "status byte is due": GOOD[:TRACK] + b"MTrk\x00\x00\x00\x03\x00\x3c\x40",
    "above 127": GOOD[:TRACK] + b"MTrk\x00\x00\x00\x04\x00\x90\xbc\x40",
    "no place in a file": GOOD[:TRACK] + b"MTrk\x00\x00\x00\x02\x00\xf8",
    "four bytes": GOOD[:TRACK] + b"MTrk\x00\x00\x00\x06\xff\xff\xff\xff\xff\x00",
    "zero": with_tempo(0),
    "lasts": file_of([(0, ON, 60, 90), (480, OFF, 60, 0)], tpb=1, end=1 << 20),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_file_is_an_error_that_names_file_and_reason(reason: str, tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(BROKEN[reason])
    with pytest.raises(MidiError, match=reason) as error:
        read_midi(path)
    assert str(path) in str(error.value)


@settings(max_examples=300)
@given(st.data())
def test_no_damage_does_worse_than_an_error(data: st.DataObject) -> None:
    content = bytearray(GOOD_SONG)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        score = read_midi(bytes(content))
    except MidiError:
        return
    assert np.isfinite(score.notes["end_s"]).all() and (score.notes["end_s"] >= score.notes["start_s"]).all()


def song() -> Score:
    tempo_map = TempoMap.from_tempos([(0.0, 120.0), (3.0, 90.0), (5.5, 140.0)])
    notes = [(0.1 * k, 0.1 * k + 0.3, 40 + k, 1 + k, k % 20, k % 7 == 0, k % 23) for k in range(60)]
    notes = [(*n[:4], 0 if n[5] else n[4], n[5], n[6]) for n in notes]
    meters = (Meter(0.0, 4, 4), Meter(8.0, 3, 4))
    return score_of(notes, tempo_map, 8.0, meters=meters, tracks=tuple(f"part {k}" for k in range(23)))


GOOD_SONG = midi_bytes(song())


def test_writing_then_reading_is_the_identity_to_within_a_tick(tmp_path: Path) -> None:
    score = song()
    write_midi(score, tmp_path / "song.mid")
    again = read_midi(tmp_path / "song.mid")
    for field in ("pitch", "velocity", "program", "drum"):
        assert np.array_equal(again.notes[field], score.notes[field])
    for field in ("start_s", "end_s"):
        assert np.abs(again.notes[field] - score.notes[field]).max() <= 60 / 90 / 480
    parts = {(score.tracks[n["track"]], n["program"], n["drum"]) for n in score.notes}
    assert {(again.tracks[n["track"]], n["program"], n["drum"]) for n in again.notes} == parts
    assert len(again.tracks) == len(parts) > 15
    assert again.meters == score.meters and again.duration_s == pytest.approx(8.0, abs=2e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["song.mid"]


def test_equal_programs_of_two_tracks_keep_channels_of_their_own() -> None:
    notes = [(0.0, 1.0, 60, 80, 4, False, 0), (0.0, 2.0, 60, 80, 4, False, 1)]
    content = midi_bytes(score_of(notes, TempoMap.constant(120), 2.0, tracks=("a", "b")))
    channels = [t.messages[0][1] & 15 for t in parse_smf(content).tracks[1:]]
    assert channels == [0, 1] and read_midi(content).tracks == ("a", "b")


def test_another_reader_sees_the_same_file(tmp_path: Path) -> None:
    score = song()
    write_midi(score, tmp_path / "song.mid")
    now, onsets = 0.0, []
    for message in mido.MidiFile(tmp_path / "song.mid"):
        now += message.time
        if message.type == "note_on" and message.velocity:
            onsets.append((now, message.note, message.velocity, message.channel == 9))
    expected = [tuple(n[k] for k in ("start_s", "pitch", "velocity", "drum")) for n in score.notes]
    assert [o[1:] for o in sorted(onsets)] == [e[1:] for e in sorted(expected)]
    assert max(abs(o[0] - e[0]) for o, e in zip(sorted(onsets), sorted(expected), strict=True)) < 1.5e-3


@pytest.mark.parametrize(("bpm", "expected"), [(300.0, 480), (120.0, 480), (60.0, 960), (11.0, 3840)])
def test_there_are_ticks_enough_for_the_clock(bpm: float, expected: int) -> None:
    score = score_of([(0.01, 1.0, 60, 80, 0, False, 0)], TempoMap.constant(bpm), 2.0)
    content = midi_bytes(score, min_tick_rate_hz=600.0)
    assert parse_smf(content).ticks_per_beat == expected
    assert read_midi(content).notes["start_s"][0] == pytest.approx(0.01, abs=0.5 / 600)
    with pytest.raises(ValueError, match="min_tick_rate_hz"):
        midi_bytes(score, min_tick_rate_hz=1e6)


def test_annotated_beats_stay_on_the_files_grid_and_seconds_exact() -> None:
    seconds = np.cumsum([0.055, 0.5, 0.52, 0.49, 0.51, 0.5, 0.47])
    tempo_map = TempoMap(np.arange(7.0), seconds)  # beat 0 is at 55 ms
    starts = [0.01, *seconds[:6].tolist()]
    notes = [(s, s + 0.2, 60 + k, 80, 0, False, 0) for k, s in enumerate(starts)]
    again = read_midi(midi_bytes(score_of(notes, tempo_map, 4.0, meters=(Meter(-1.0, 4, 4),))))
    assert np.allclose(again.notes["start_s"], starts, atol=1e-3)
    assert np.allclose(again.notes["start_beat"][1:], np.arange(1, 7), atol=1e-6)  # one beat of lead-in
    assert again.meters == (Meter(0.0, 4, 4),)
    pickup = read_midi(midi_bytes(score_of(notes, tempo_map, 4.0, meters=(Meter(1.0, 4, 4),))))
    assert pickup.meters == (Meter(0.0, 4, 4), Meter(2.0, 4, 4))


def test_a_duration_never_grows_by_a_tick() -> None:
    score = score_of([(0.0, 7 / 75, 60, 80, 0, False, 0)], TempoMap.constant(97.0), 7 / 75)
    assert read_midi(midi_bytes(score)).duration_s <= 7 / 75 + 1e-9


def test_a_last_drum_hit_adds_no_frame() -> None:
    vocabulary = EventVocabulary()
    for num_frames in range(1, 160):  # most of these ends are between two ticks
        hit = decode_events([num_frames - 1] * 3, [384, 256 + 36, 520], 75.0, num_frames, vocabulary)
        assert num_frames_for(read_midi(midi_bytes(hit, min_tick_rate_hz=600.0)).duration_s, 75.0) == num_frames


def test_a_repeated_note_ends_before_it_begins_again() -> None:
    notes = [(0.0, 1.0, 60, 80, 0, False, 0), (1.0, 2.0, 60, 80, 0, False, 0)]
    messages = parse_smf(midi_bytes(score_of(notes, TempoMap.constant(120), 2.0))).tracks[1].messages
    assert [m[1] & 0xF0 for m in messages[1:]] == [ON, OFF, ON, OFF]


def test_of_many_tracks_those_of_one_program_share_a_channel() -> None:
    notes = [(0.0, 1.0, 60, 80, 10 + k % 3, False, k) for k in range(20)]
    chunks = parse_smf(midi_bytes(score_of(notes, TempoMap.constant(120), 2.0))).tracks[1:]
    assert len({(chunk.messages[0][1] & 15, chunk.messages[0][2]) for chunk in chunks}) == 3
    assert len({chunk.messages[0][1] & 15 for chunk in chunks}) == 3


@pytest.mark.real_data
def test_our_reader_agrees_with_symusic_on_real_files(sources: Path) -> None:
    symusic = pytest.importorskip("symusic")
    paths = sorted(sources.glob("pop909/POP909/*/*.mid"))[::30]
    assert paths
    for path in paths:
        ours, theirs = read_midi(path).notes, symusic.Score(path).to("second")
        rows = [(round(n.start, 3), n.pitch, n.velocity) for track in theirs.tracks for n in track.notes]
        onsets = sorted(zip(ours["start_s"].tolist(), ours["pitch"].tolist(), ours["velocity"].tolist(), strict=True))
        assert len(rows) == len(onsets)
        assert np.allclose([o[0] for o in onsets], sorted(r[0] for r in rows), atol=2e-3)
        assert sorted(o[1:] for o in onsets) == sorted(r[1:] for r in rows)
