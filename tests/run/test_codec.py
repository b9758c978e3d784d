from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lh_mm.audio.blocks import mono_blocks, num_samples_at
from lh_mm.audio.codec import read_codes
from lh_mm.audio.io import AudioError, read_audio, resample, write_audio
from lh_mm.models.load import load_codec, save_codec
from lh_mm.models.rvq_codec import RvqCodec, RvqCodecConfig
from lh_mm.run.codec import decode, encode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = RvqCodec(RvqCodecConfig(width=16, latent_width=8, codebook_size=64, encoder_blocks=1, decoder_blocks=1))
        torch.nn.init.normal_(codec.spectrum_head.weight, std=0.1)
        codec.train()(0.3 * torch.randn(8, 1, 24_000), torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("codec") / "small"
    save_codec(codec.eval(), path)
    return path


def _music(seconds: float, rate: int, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, round(seconds * rate)))).astype(np.float32)


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000, 22_050])
def test_blocks_put_together_are_the_resampled_whole(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, _music(3.217, rate), rate)
    wave, _ = read_audio(path, mono=True)
    whole = resample(wave[0], rate, 24_000)
    blocks = np.concatenate(list(mono_blocks(path, 24_000, block_s=0.5)))
    assert len(blocks) == num_samples_at(path, 24_000) == len(whole)
    np.testing.assert_allclose(blocks, whole, atol=1e-5)


def test_a_file_makes_the_round_trip_as_if_it_were_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lh_mm.run.codec._BLOCK_FRAMES", 64)
    monkeypatch.setattr("lh_mm.run.codec.mono_blocks", lambda path, rate: mono_blocks(path, rate, block_s=0.7))
    write_audio(tmp_path / "a.wav", _music(3.3, 44_100), 44_100)
    assert "kbit/s" in encode(tmp_path / "a.wav", codec=folder)
    assert str(tmp_path / "back.wav") in decode(tmp_path / "a.lhc", tmp_path / "back.wav", folder)

    codec = load_codec(folder)
    wave = torch.from_numpy(np.concatenate(list(mono_blocks(tmp_path / "a.wav", 24_000))))[None, None]
    codes = codec.encode(wave)
    file = read_codes(tmp_path / "a.lhc")
    assert np.array_equal(file.codes, codes[0].numpy())
    back, rate = read_audio(tmp_path / "back.wav")
    assert rate == 24_000
    assert back.shape == (1, wave.shape[-1])
    expected = codec.decode(codes, wave.shape[-1])[0].clamp(-1, 1).numpy()
    np.testing.assert_allclose(back, expected, atol=2 / 32768)


def test_another_codec_is_refused_with_both_names(folder: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", _music(0.2, 24_000), 24_000)
    encode(tmp_path / "a.wav", codec=folder)
    other = RvqCodec(RvqCodecConfig(width=16, latent_width=8, codebook_size=64, encoder_blocks=1, decoder_blocks=1))
    save_codec(other, tmp_path / "other")
    with pytest.raises(ValueError, match=r"a\.lhc: codes of codec"):
        decode(tmp_path / "a.lhc", codec=tmp_path / "other")
    assert not (tmp_path / "a.wav.wav").exists()


def test_what_is_not_sound_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a sound")
    with pytest.raises(AudioError, match=r"text\.wav"):
        encode(tmp_path / "text.wav", codec=folder)
    with pytest.raises(AudioError, match="no such file"):
        encode(tmp_path / "nothing.wav", codec=folder)
    with pytest.raises(ValueError, match="not a code file"):
        decode(tmp_path / "text.wav", tmp_path / "out.wav", folder)
