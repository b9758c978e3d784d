"""Sound files: what is written is read, and what is not sound is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from lh_mm.audio.io import AudioError, duration_of, read_audio, resample, to_mono, write_audio


def tone(hz: float, rate: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


@pytest.mark.parametrize(
    ("suffix", "floating", "error"), [(".wav", False, 4e-5), (".wav", True, 0.0), (".flac", False, 4e-5)]
)
def test_round_trip_keeps_channels_order_and_samples(tmp_path: Path, suffix: str, floating: bool, error: float) -> None:
    wave = np.concatenate([tone(440, 22050), tone(660, 22050)])
    path = tmp_path / "deep" / f"x{suffix}"
    write_audio(path, wave, 22050, floating)
    back, rate = read_audio(path)
    assert rate == 22050 and back.dtype == np.float32 and back.shape == wave.shape
    assert np.abs(back - wave).max() <= error
    assert duration_of(path) == pytest.approx(0.5)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.wav"
    write_audio(path, tone(440, 8000), 8000)
    before = path.read_bytes()

    def half(file: BinaryIO, *args: object, **settings: object) -> None:
        file.write(b"half")
        raise OSError("disk")

    monkeypatch.setattr(soundfile, "write", half)
    with pytest.raises(OSError, match="disk"):
        write_audio(path, tone(880, 8000), 8000)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x.wav"]


def test_sixteen_bits_clip_instead_of_wrapping(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", np.full((1, 100), 1.7, np.float32), 8000)
    assert read_audio(tmp_path / "x.wav")[0].min() > 0.99


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.wav", b"just some text, not sound", "not a sound file"),
        ("b.wav", b"", "not a sound file"),
        ("c.mp3", b"\x00" * 64, "not a sound"),
    ],
)
def test_what_is_not_sound_is_refused_by_name(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    for reader in (read_audio, duration_of):
        with pytest.raises(AudioError, match=reason) as caught:
            reader(tmp_path / name)
        assert name in str(caught.value)


def test_missing_empty_and_not_finite_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        read_audio(tmp_path / "none.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), 8000)
    with pytest.raises(AudioError, match="no samples"):
        read_audio(tmp_path / "empty.wav")
    bad = np.zeros((50, 1), np.float32)
    bad[7] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match="sample 7"):
        read_audio(tmp_path / "nan.wav")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.mp4"):
        write_audio(tmp_path / "x.mp4", tone(440, 8000), 8000)
    with pytest.raises(ValueError, match="not finite"):
        write_audio(tmp_path / "x.wav", np.full((1, 9), np.inf, np.float32), 8000)
    with pytest.raises(ValueError, match="channels, samples"):
        write_audio(tmp_path / "x.wav", np.zeros((4000, 2), np.float32), 8000)


@pytest.mark.parametrize(("source", "target"), [(44100, 24000), (24000, 44100), (48000, 16000), (44100, 22050)])
def test_resampling_keeps_time_level_and_pitch(source: int, target: int) -> None:
    wave = tone(1000.0, source, 1.0, channels=2)
    out = resample(wave, source, target)
    assert out.shape == (2, target) and out.dtype == np.float32
    middle = slice(target // 10, -target // 10)
    assert np.abs(out - tone(1000.0, target, 1.0))[:, middle].max() < 1e-3


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    out = resample(tone(10000.0, 44100, 1.0), 44100, 16000)
    assert np.abs(out[:, 800:-800]).max() < 1e-4


def test_read_resamples_and_mixes_down(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", np.stack([tone(500, 44100)[0], np.zeros(22050, np.float32)]), 44100)
    wave, rate = read_audio(tmp_path / "x.wav", sample_rate=24000, mono=True)
    assert rate == 24000 and wave.shape == (1, 12000)
    assert np.abs(wave).max() == pytest.approx(0.25, abs=0.01)
    assert to_mono(wave) is wave
