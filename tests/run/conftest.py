"""One very small training, made once: its run folder serves every test that needs a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

TINY = (
    "sequence.crop_s=1",
    "sequence.velocity_bins=8",
    "model.pattern=M-*-",
    "model.dim=32",
    "model.heads=2",
    "model.kv_heads=1",
    "model.state_dim=8",
    "model.head_dim=16",
    "model.mlp_ratio=1",
    "model.dropout=0.1",
    "trainer.batch_size=2",
    "trainer.max_steps=6",
    "trainer.valid_every=3",
    "trainer.valid_batches=1",
    "trainer.checkpoint_every=2",
    "trainer.log_every=1",
    "trainer.precision=fp32",
    "trainer.threads=1",
    "optim.warmup_steps=2",
    "tracking.tensorboard=false",
)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`$LH_DATA` of these tests."""
    folder = tmp_path_factory.mktemp("lh_data")
    patch = pytest.MonkeyPatch()
    patch.setenv("LH_DATA", str(folder))
    yield folder
    patch.undo()


@pytest.fixture(scope="session")
def tiny(codec_folder: Path, data_root: Path) -> tuple[str, ...]:
    """Overrides that make any merged experiment take seconds."""
    small = f"codec.source: {codec_folder}, pieces: 3, duration_s: 8, features.num_bins: 24"
    return (f"data={{recipe: smoke, overrides: {{{small}}}}}", *TINY)


@pytest.fixture(scope="session")
def tiny_run(tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    from lh_mm.run.train import train

    return train("demo", tiny, runs=tmp_path_factory.mktemp("runs"))
