from __future__ import annotations

from pathlib import Path

import pytest
import torch
from encodec.model import EncodecModel
from safetensors.torch import save_file

from lh_mm.audio.codec import Codec, StreamingCodec
from lh_mm.core.merge import ZERO
from lh_mm.models.encodec import PUBLISHED_NAME, EncodecCodec, EncodecConfig
from lh_mm.models.load import load_codec

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EnCodec with random weights on disk, as a user would have the published ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = EncodecModel.encodec_model_24khz(pretrained=False).state_dict()
        for name, value in state.items():
            if name.endswith("_codebook.embed"):
                state[name] = torch.randn(value.shape)
            elif name.endswith("inited"):
                state[name] = torch.ones_like(value)
    path = tmp_path_factory.mktemp("encodec")
    save_file({name: value.contiguous() for name, value in state.items()}, path / "encodec.safetensors")
    (path / "config.json").write_text('{"kind": "encodec", "bandwidth_kbps": 3.0}')
    return path


@pytest.fixture(scope="module")
def codec(folder: Path) -> EncodecCodec:
    loaded = load_codec(folder)
    assert isinstance(loaded, EncodecCodec)
    return loaded


@pytest.fixture(scope="module")
def wave() -> torch.Tensor:
    return 0.1 * torch.randn(2, 1, 1600, generator=torch.Generator().manual_seed(0))


def test_a_folder_is_a_codec(codec: EncodecCodec, wave: torch.Tensor) -> None:
    assert isinstance(codec, Codec)
    assert not isinstance(codec, StreamingCodec)
    assert (codec.sample_rate, codec.hop_samples, codec.rate_hz) == (24_000, 320, 75.0)
    assert (codec.num_codebooks, codec.codebook_size) == (4, 1024)
    codes = codec.encode(wave)
    assert codes.shape == (2, 5, 4)
    assert codes.dtype == torch.int64
    assert codec.decode(codes).shape == (2, 1, 1600)
    assert codec.decode(codes, 1501).shape == (2, 1, 1501)


def test_codes_are_those_of_the_package(codec: EncodecCodec, wave: torch.Tensor) -> None:
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.load_state_dict(codec.model.state_dict())
    model.set_target_bandwidth(3.0)
    with torch.no_grad():
        ((codes, _),) = model.encode(wave)
        sound = model.decode([(codes, None)])
    assert torch.equal(codec.encode(wave), codes.transpose(1, 2))
    torch.testing.assert_close(codec.decode(codec.encode(wave)), sound[..., :1600])


def test_zero_is_a_codebook_left_out(codec: EncodecCodec, wave: torch.Tensor) -> None:
    codes = codec.encode(wave)
    blanked = codes.clone()
    blanked[..., 2:] = ZERO
    torch.testing.assert_close(codec.decode(blanked), codec.decode(codes[..., :2]))
    assert not torch.equal(codec.decode(blanked), codec.decode(codes))


@pytest.mark.parametrize(("kbps", "books"), [(1.5, 2), (24.0, 32)])
def test_bandwidth_says_how_many_codebooks(codec: EncodecCodec, kbps: float, books: int) -> None:
    other = EncodecCodec(codec.model, kbps)
    assert other.num_codebooks == books
    assert other.fingerprint != codec.fingerprint


def test_the_published_file_is_read_without_unpickling_code(codec: EncodecCodec, tmp_path: Path) -> None:
    torch.save(codec.model.state_dict(), tmp_path / PUBLISHED_NAME)
    loaded = EncodecConfig(path=tmp_path, bandwidth_kbps=3.0).build()
    assert loaded.fingerprint == codec.fingerprint

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("a stranger's code ran",)

    torch.save({"trap": Trap()}, tmp_path / PUBLISHED_NAME)
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        EncodecConfig(path=tmp_path).build()


def test_what_is_missing_or_foreign_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds neither"):
        EncodecConfig(path=tmp_path).build()
    save_file({"x": torch.zeros(1)}, tmp_path / "encodec.safetensors")
    with pytest.raises(ValueError, match="not the weights of EnCodec"):
        EncodecConfig(path=tmp_path).build()
