"""What all tests share: offline by default, reproducible property tests, and the markers' meanings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from lh_mm.data.prepared import PreparedSet

# Before any test imports the packages that read them.
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")

# The same examples every time: a test that fails in CI fails on the desk. No deadline: machines differ.
settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")

REPOSITORY = Path(__file__).resolve().parents[1]


def real_data_folder() -> Path | None:
    """`$LH_SOURCES`, else shared/data beside the checkout, if it is there."""
    folder = Path(os.environ.get("LH_SOURCES") or REPOSITORY.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {
        "real_data": None if real_data_folder() else "no real music: set LH_SOURCES to its folder",
        "gpu": None if shutil.which("nvidia-smi") else "no CUDA device",
        "network": None if os.environ.get("LH_NETWORK") == "1" else "needs the internet: set LH_NETWORK=1",
    }
    for item in items:
        for name, reason in missing.items():
            if reason and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def sources() -> Path:
    """The folder of real music; use together with `@pytest.mark.real_data`."""
    folder = real_data_folder()
    if folder is None:
        pytest.skip("no real music: set LH_SOURCES to its folder")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny codec with random weights: it is a codec in every way but the sound."""
    import torch

    from lh_mm.models.load import save_codec
    from lh_mm.models.rvq_codec import RvqCodecConfig

    folder = tmp_path_factory.mktemp("codec") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = RvqCodecConfig(width=32, encoder_blocks=1, decoder_blocks=1, codebook_size=64).build()
        for codebook in codec.quantizer.codebooks:
            codebook.vectors.normal_()  # untrained they are all zero, and every code would sound the same
    save_codec(codec, folder)
    return folder


@pytest.fixture(scope="session")
def smoke(codec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """Three pieces with notes, codes and features; one in each split."""
    from lh_mm.data.prepare import prepare
    from lh_mm.data.prepared import PreparedSet
    from lh_mm.data.recipe import load_recipe

    overrides = [f"codec.source={codec_folder}", "pieces=3", "duration_s=8", "features.num_bins=24"]
    recipe = load_recipe("smoke", overrides).config
    return PreparedSet(prepare(recipe, root=tmp_path_factory.mktemp("sets"), workers=1))
