"""A tiny codec with random weights and a small prepared set, made once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.models.load import save_codec
from lh_mm.models.rvq_codec import RvqCodecConfig


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = RvqCodecConfig(width=32, encoder_blocks=1, decoder_blocks=1, codebook_size=64).build()
    save_codec(codec, folder)
    return folder


@pytest.fixture(scope="session")
def smoke(codec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """Three pieces with notes, codes and features; one in each split."""
    overrides = [f"codec.source={codec_folder}", "pieces=3", "duration_s=8", "features.num_mels=16"]
    recipe = load_recipe("smoke", overrides).config
    return PreparedSet(prepare(recipe, root=tmp_path_factory.mktemp("sets"), workers=1))
