from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.audio.codec import Codec, StreamingCodec
from lh_mm.core.merge import ZERO
from lh_mm.models.load import load_codec, save_codec
from lh_mm.models.rvq_codec import RvqCodec, RvqCodecConfig

SMALL = RvqCodecConfig(width=16, latent_width=8, codebook_size=32, encoder_blocks=2, decoder_blocks=2)


def _codec(seed: int = 0) -> RvqCodec:
    """Fresh weights, with codebooks started on noise and heads loud enough for differences to show."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        codec = RvqCodec(SMALL)
        torch.nn.init.normal_(codec.spectrum_head.weight, std=0.3)
        codec.train()
        codec(0.3 * torch.randn(8, 1, 24_000), torch.Generator().manual_seed(seed))
    return codec.eval()


@pytest.fixture(scope="module")
def codec() -> RvqCodec:
    return _codec()


@pytest.fixture(scope="module")
def wave() -> torch.Tensor:
    return 0.3 * torch.randn(2, 1, 40 * 320, generator=torch.Generator().manual_seed(5))


def test_it_is_a_codec_of_the_stated_rates() -> None:
    codec = RvqCodec(RvqCodecConfig())
    assert isinstance(codec, Codec) and isinstance(codec, StreamingCodec)
    assert (codec.sample_rate, codec.rate_hz, codec.hop_samples) == (24_000, 75.0, 320)
    assert codec.num_codebooks == 4
    assert codec.codebook_size <= 1024
    assert codec.look_ahead_s <= 0.040 + 1e-9
    stored = sum(value.numel() for value in codec.inference_state().values())
    assert 2 * stored < 10e6 - 20_000, "ten megabytes in half precision"


@pytest.mark.parametrize(("num_samples", "num_frames"), [(1, 1), (320, 1), (321, 2), (24_000, 75), (0, 0)])
def test_frames_are_samples_over_hop_rounded_up(codec: RvqCodec, num_samples: int, num_frames: int) -> None:
    codes = codec.encode(torch.zeros(2, 1, num_samples))
    assert codes.shape == (2, num_frames, 4)
    assert codes.dtype == torch.int64
    assert codec.decode(codes, num_samples).shape == (2, 1, num_samples)
    assert codec.decode(codes).shape == (2, 1, num_frames * 320)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 40), max_size=6))
def test_a_stream_cut_anywhere_equals_the_whole(cuts: list[int]) -> None:
    codec = _CODEC
    wave = 0.3 * torch.randn(2, 1, 40 * 320, generator=torch.Generator().manual_seed(5))
    whole_codes = codec.encode(wave)
    whole = codec.decode(whole_codes)
    borders = [0, *sorted(cuts), 40]
    state, codes, waves = codec.init_stream(2), [], []
    for i, (start, end) in enumerate(itertools.pairwise(borders)):
        step, state = codec.encode_step(wave[..., start * 320 : end * 320], state)
        sound, state = codec.decode_step(step, state, final=i == len(borders) - 2)
        codes.append(step)
        waves.append(sound)
    assert torch.equal(torch.cat(codes, 1), whole_codes)
    torch.testing.assert_close(torch.cat(waves, -1), whole, atol=1e-5, rtol=0)


_CODEC = _codec()


def test_a_step_does_not_change_the_state_it_was_given(codec: RvqCodec, wave: torch.Tensor) -> None:
    codes = codec.encode(wave)
    _, state = codec.decode_step(codes[:, :10], codec.init_stream(2))
    first, _ = codec.decode_step(codes[:, 10:20], state)
    again, _ = codec.decode_step(codes[:, 10:20], state)
    assert torch.equal(first, again)


def test_codes_hear_nothing_after_their_frame(codec: RvqCodec, wave: torch.Tensor) -> None:
    changed = wave.clone()
    changed[..., 21 * 320 :] = 0.5
    before, after = codec.encode(wave), codec.encode(changed)
    assert torch.equal(before[:, :21], after[:, :21])
    assert not torch.equal(before[:, 21:], after[:, 21:])


def test_sound_hears_no_code_beyond_the_look_ahead(codec: RvqCodec, wave: torch.Tensor) -> None:
    codes = codec.encode(wave)
    changed = codes.clone()
    changed[:, 20:] = (changed[:, 20:] + 7) % 32
    frames = round(codec.look_ahead_s * codec.rate_hz)
    before, after = codec.decode(codes), codec.decode(changed)
    certain = (20 - frames) * 320
    torch.testing.assert_close(before[..., :certain], after[..., :certain], atol=1e-6, rtol=0)
    assert (before - after)[..., certain : certain + 320].abs().max() > 1e-4


def test_it_decodes_by_any_number_of_codebooks(codec: RvqCodec, wave: torch.Tensor) -> None:
    codes = codec.encode(wave)
    blanked = codes.clone()
    blanked[..., 1:] = ZERO
    assert torch.equal(codec.decode(blanked), codec.decode(codes[..., :1]))
    assert not torch.equal(codec.decode(blanked), codec.decode(codes))
    silent = codec.decode(torch.full_like(codes, ZERO))
    assert torch.isfinite(silent).all()


def test_rows_of_a_batch_do_not_touch(codec: RvqCodec, wave: torch.Tensor) -> None:
    codes = codec.encode(wave)
    assert torch.equal(codec.encode(wave[1:]), codes[1:])
    torch.testing.assert_close(codec.decode(codes)[1:], codec.decode(codes[1:]), atol=1e-6, rtol=0)


def test_training_forward_equals_encode_then_decode(codec: RvqCodec, wave: torch.Tensor) -> None:
    reconstruction, quantized = codec(wave)
    assert torch.equal(quantized.codes, codec.encode(wave))
    torch.testing.assert_close(reconstruction, codec.decode(quantized.codes), atol=1e-5, rtol=0)


def test_every_weight_gets_a_gradient(wave: torch.Tensor) -> None:
    codec = _codec(1).train()
    reconstruction, quantized = codec(wave, torch.Generator().manual_seed(0))
    (reconstruction.square().mean() + quantized.commitment).backward()
    for name, parameter in codec.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_silence_and_loud_noise_stay_finite(codec: RvqCodec) -> None:
    for level in (0.0, 1e-6, 1.0, 50.0):
        wave = level * torch.randn(1, 1, 6400, generator=torch.Generator().manual_seed(1))
        assert torch.isfinite(codec.decode(codec.encode(wave))).all()


def test_saved_and_loaded_it_is_the_same_codec(codec: RvqCodec, wave: torch.Tensor, tmp_path: Path) -> None:
    saved = save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert loaded.fingerprint == saved.fingerprint
    assert torch.equal(loaded.encode(wave), saved.encode(wave))
    assert torch.equal(loaded.decode(saved.encode(wave)), saved.decode(saved.encode(wave)))
    original, codes = codec.decode(codec.encode(wave)), codec.encode(wave)
    assert (loaded.decode(codes) - original).square().mean() < 1e-6 * original.square().mean(), "60 dB below"
    again = save_codec(saved, tmp_path / "again")
    assert again.fingerprint == saved.fingerprint, "half precision loses nothing twice"


def test_other_weights_or_other_settings_are_another_codec(codec: RvqCodec) -> None:
    other = _codec()
    assert other.fingerprint == codec.fingerprint
    other.quantizer.codebooks[3].vectors[0, 0] += 1.0
    assert other.fingerprint != codec.fingerprint
    assert RvqCodec(SMALL).fingerprint != RvqCodec(SMALL.model_copy(update={"code_dropout": 0.1})).fingerprint


def test_damaged_folders_are_refused_by_name(codec: RvqCodec, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_codec(tmp_path / "nowhere")
    save_codec(codec, tmp_path / "codec")
    weights = tmp_path / "codec" / "codec.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"codec\.safetensors"):
        load_codec(tmp_path / "codec")
    weights.write_bytes(content)
    config = tmp_path / "codec" / "config.json"
    config.write_text(config.read_text().replace('"width": 16', '"width": 24'))
    with pytest.raises(ValueError, match="do not fit"):
        load_codec(tmp_path / "codec")
    config.write_text('{"kind": "vocoder"}')
    with pytest.raises(ValueError, match="vocoder"):
        load_codec(tmp_path / "codec")


def test_stereo_and_part_frames_are_refused(codec: RvqCodec) -> None:
    with pytest.raises(ValueError, match="mono"):
        codec.encode(torch.zeros(1, 2, 640))
    with pytest.raises(ValueError, match="whole frames"):
        codec.encode_step(torch.zeros(1, 1, 100), codec.init_stream(1))
