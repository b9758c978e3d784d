from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.audio.features import ConstantQ, ConstantQConfig, LogMel, LogMelConfig, read_features
from lh_mm.core.config import ConfigError

RATE, HZ, HOP = 24_000, 75.0, 320
MEL = LogMel(RATE, HZ)
CQT = ConstantQ(RATE, HZ)


def _noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, num_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("transform", [MEL, CQT], ids=["mel", "cqt"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(frame=st.integers(0, 59), late=st.integers(0, HOP))
def test_a_feature_hears_nothing_after_its_own_frame(transform: LogMel | ConstantQ, frame: int, late: int) -> None:
    wave = _noise(60 * HOP)
    changed = wave.clone()
    changed[:, (frame + 1) * HOP + late :] += 0.5
    before, after = transform(wave), transform(changed)
    torch.testing.assert_close(before[:, : frame + 1], after[:, : frame + 1], atol=0, rtol=0)


def test_a_feature_hears_its_own_last_samples_and_its_window_only() -> None:
    wave = _noise(60 * HOP)
    changed = wave.clone()
    changed[:, 30 * HOP + HOP // 2 : 31 * HOP] += 0.5
    differs = (MEL(wave) != MEL(changed)).any(-1)[0]
    first, last = differs.nonzero().min().item(), differs.nonzero().max().item()
    assert first == 30
    assert last == 30 + MEL.window_frames - 1 == 35


@pytest.mark.parametrize("window_s", [0.04, 0.08, 0.1])
def test_window_frames_is_how_far_back_a_feature_hears(window_s: float) -> None:
    mel = LogMel(RATE, HZ, window_s=window_s)
    wave = _noise(60 * HOP)
    changed = wave.clone()
    changed[:, : 30 * HOP] += 0.5
    differs = (mel(wave) != mel(changed)).any(-1)[0]
    assert differs.nonzero().max().item() <= 30 + mel.window_frames - 2
    assert differs[30 + mel.window_frames - 3]


def test_it_equals_torch_within_a_ten_thousandth() -> None:
    wave = _noise(RATE)
    window = MEL.window_samples
    padded = torch.nn.functional.pad(wave, (window - HOP, 0))
    spectrum = torch.stft(
        padded, window, HOP, window=torch.hann_window(window), center=False, return_complex=True
    ).abs()
    mel = (MEL.mel.mel_basis @ spectrum) * MEL.scale
    expected = (mel.clamp(min=1e-5).log() + 7.0) / 2.0
    torch.testing.assert_close(MEL(wave), expected.transpose(1, 2), atol=1e-4, rtol=0)


def test_a_window_of_any_length_gives_the_same_level() -> None:
    noise = _noise(2 * RATE)
    levels = [LogMel(RATE, HZ, window_s=w)(noise)[:, 40:].mean().item() for w in (0.04, 0.08)]
    # White noise falls by 3 dB a doubling in an amplitude spectrum: 0.35 nats, over a spread of 2.
    assert abs(levels[0] - levels[1] - 0.5 * 0.6931 / 2.0) < 0.05


def test_a_tone_is_in_its_band_and_louder_is_larger() -> None:
    time_s = torch.arange(RATE) / RATE
    for hz in (220.0, 1000.0, 5000.0):
        quiet = MEL(0.1 * torch.sin(2 * torch.pi * hz * time_s)[None])[0, 40]
        loud = MEL(0.5 * torch.sin(2 * torch.pi * hz * time_s)[None])[0, 40]
        band = int(quiet.argmax())
        edges = torch.linspace(0, 1, MEL.mel.mel_basis.shape[1]) * RATE / 2
        weights = MEL.mel.mel_basis[band]
        assert edges[weights > 0].min() - 15 <= hz <= edges[weights > 0].max() + 15
        assert loud[band] - quiet[band] == pytest.approx(torch.log(torch.tensor(5.0)).item() / 2.0, abs=1e-3)


@pytest.mark.parametrize(("num_samples", "num_frames"), [(0, 0), (1, 1), (320, 1), (321, 2), (24_000, 75)])
def test_as_many_frames_as_the_codec_has(num_samples: int, num_frames: int) -> None:
    assert MEL(torch.zeros(2, num_samples)).shape == (2, num_frames, 64)


def test_silence_is_finite_and_kernels_are_buffers() -> None:
    features = MEL(torch.zeros(1, RATE))
    assert torch.isfinite(features).all()
    assert features.unique().numel() == 1
    assert not list(MEL.parameters())
    assert {name.split(".")[-1] for name, _ in MEL.named_buffers()} >= {"wsin", "wcos", "mel_basis"}


def test_autocast_does_not_touch_it() -> None:
    wave = _noise(RATE // 2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = MEL(wave)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, MEL(wave))


def test_long_sound_in_blocks_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = _noise(100 * HOP + 7)
    whole = MEL(wave)
    monkeypatch.setattr("lh_mm.audio.right_aligned._BLOCK_FRAMES", 16)
    torch.testing.assert_close(MEL(wave), whole, atol=1e-5, rtol=0)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"22050.*75"):
        LogMelConfig().build(22_050, 75.0 + 1 / 3)
    with pytest.raises(ValueError, match=r"window_s=0\.3"):
        LogMelConfig(window_s=0.3).build(RATE, HZ)
    with pytest.raises(ValueError, match="mono"):
        MEL(torch.zeros(1, 2, 100))


def test_fingerprint_tells_settings_apart() -> None:
    assert LogMelConfig().build(RATE, HZ).fingerprint == MEL.fingerprint
    assert LogMelConfig(num_mels=32).build(RATE, HZ).fingerprint != MEL.fingerprint


@pytest.mark.parametrize("pitch", [28, 40, 52, 64, 76, 88, 100])
def test_a_semitone_is_two_bins_and_a_full_scale_sine_has_magnitude_one(pitch: int) -> None:
    t = torch.arange(RATE) / RATE
    peaks = []
    for note in (pitch, pitch + 1):
        hz = 440.0 * 2.0 ** ((note - 69) / 12)
        heard = CQT(torch.sin(2 * torch.pi * hz * t)[None])[0, 70] * CQT.spread + CQT.mean
        peaks.append(int(heard.argmax()))
        assert 32.7 * 2 ** (peaks[-1] / 24) == pytest.approx(hz, rel=0.02)
        assert heard.max() == pytest.approx(0.0, abs=0.05)
    assert peaks[1] - peaks[0] == 2


def test_high_notes_are_heard_within_two_frames_and_low_ones_within_a_quarter_second() -> None:
    wave = torch.zeros(1, 60 * HOP)
    wave[:, 30 * HOP] = 1.0  # a click
    heard = (CQT(wave)[0] > CQT(torch.zeros_like(wave))[0] + 0.1).nonzero()
    frames = {bin_: heard[heard[:, 1] == bin_, 0] for bin_ in (0, 167)}
    assert frames[167].max() <= 32
    assert 45 <= frames[0].max() <= 30 + CQT.window_frames - 1 == 48


def test_constant_q_refuses_what_it_cannot_hear() -> None:
    with pytest.raises(ValueError, match="num_bins=300"):
        ConstantQConfig(num_bins=300).build(RATE, HZ)
    with pytest.raises(ValueError, match="window_s"):
        ConstantQ(RATE, HZ, window_s=0.02)
    assert CQT(torch.zeros(2, 5 * HOP)).shape == (2, 5, 168)
    assert CQT.fingerprint not in (ConstantQ(RATE, HZ, bins_per_octave=36).fingerprint, MEL.fingerprint)


def test_stored_settings_say_which_transform_they_are_of() -> None:
    for config in (LogMelConfig(num_mels=8), ConstantQConfig(num_bins=24)):
        assert read_features(config.model_dump(), "set.json") == config
    with pytest.raises(ConfigError, match="num_bin"):
        read_features({"kind": "cqt", "num_bin": 3}, "set.json")
