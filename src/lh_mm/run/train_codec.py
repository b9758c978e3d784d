"""Train a codec from an experiment file: sound, training within a budget of minutes, evaluation, a folder to ship.

    python -m lh_mm.run.train_codec experiments/codec/rvq.yaml --out runs/codec optim.max_minutes=5

Every step can be repeated: the corpus is kept, a run that was stopped goes on from its last checkpoint with the
time it has already used, and a finished run is not trained again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lh_mm.audio.instruments.synth import Synth
from lh_mm.core.assets import asset
from lh_mm.core.config import Config, load_config
from lh_mm.core.files import write_json
from lh_mm.core.log import LOGGER, setup_logging
from lh_mm.core.reproduce import environment
from lh_mm.data.codec_corpus import CodecCorpus, CodecCorpusConfig, CropSampler, prepare_codec_corpus
from lh_mm.models.load import save_codec
from lh_mm.models.rvq_codec import RvqCodec, RvqCodecConfig
from lh_mm.music.compose import VERSION as COMPOSER_VERSION
from lh_mm.music.compose import compose
from lh_mm.systems.codec import LOG_EVERY_STEPS, CodecLossConfig, CodecOptimConfig, CodecSystem


class CodecExperiment(Config):
    """Everything that decides what codec comes out."""

    question: str
    """What the run is to find out."""
    init_from: str | None = None
    """The run folder of an earlier training, whose weights and codebooks this one goes on with."""
    model: RvqCodecConfig = RvqCodecConfig()
    data: CodecCorpusConfig = CodecCorpusConfig()
    optim: CodecOptimConfig = CodecOptimConfig()
    loss: CodecLossConfig = CodecLossConfig()
    batch_size: int = 8
    """Crops a step."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """`bf16` computes the layers under autocast: faster where the processor has it, much slower elsewhere."""
    threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""
    seed: int = 0
    checkpoint_minutes: float = 3.0
    valid_every_steps: int = 1000
    valid_crops: int = 48


class _Batches(IterableDataset[Tensor]):
    """Training batches from number `first` on, without end."""

    def __init__(self, sampler: CropSampler, first: int) -> None:
        self.sampler, self.first = sampler, first

    def __iter__(self) -> Iterator[Tensor]:
        index = self.first
        while True:
            yield torch.from_numpy(self.sampler.batch(index))
            index += 1


def render_electronic(seed: int, sample_rate: int) -> tuple[str, NDArray[np.float32]]:
    """Piece number `seed` of the synthetic corpus as its built-in synthesizer plays it: id and mono sound."""
    piece = compose(seed)
    if piece.score is None:
        raise ValueError(f"piece {piece.id} has no notes to render")
    return piece.id, Synth.for_labels(piece.labels, channels=1).render(piece.score, sample_rate)[0]


def open_corpus(config: CodecCorpusConfig) -> CodecCorpus:
    """The prepared sound below `$LH_DATA` (default `data`), rendered on the first call."""
    sources = os.environ.get("LH_SOURCES")
    folder = Path(os.environ.get("LH_DATA", "data")) / "codec_corpus"
    version = f"{COMPOSER_VERSION} {Synth().fingerprint}"
    return prepare_codec_corpus(
        config,
        folder,
        lambda seed: render_electronic(seed, config.sample_rate),
        version,
        Path(sources) if sources else None,
    )


def valid_crops(corpus: CodecCorpus, num_crops: int, sample_rate: int) -> Tensor:
    """Two-second crops spread evenly over the held-out pieces, one in four of a recording, `(crops, 1, samples)`."""
    length = 2 * sample_rate
    crops = []
    for real, share in ((False, 0.75), (True, 0.25)):
        clips = [clip for clip in corpus.of("valid", real=real) if clip.num_samples >= length]
        wanted = round(share * num_crops) if clips else 0
        for i in range(wanted):
            clip = clips[i % len(clips)]
            place = (i // len(clips) + 0.5) / (-(-wanted // len(clips)))
            crops.append(corpus.read(clip, int((clip.num_samples - length) * place), length))
    return torch.from_numpy(np.stack(crops)[:, None] if crops else np.zeros((0, 1, length), np.float32))


def train_codec(experiment: str | Path = "codec/rvq", overrides: Sequence[str] = (), out: Path | None = None) -> str:
    """`lh codec train`: an experiment by file or by its name below `experiments/`; returns what was written.

    Args:
        experiment: a YAML file, or a name such as `codec/rvq`.
        overrides: `key.path=value`.
        out: run folder; `runs/<name of the experiment>` by default.

    Raises:
        ConfigError: with everything that is wrong in file and overrides.
    """
    path = Path(experiment)
    if path.suffix != ".yaml":
        path = asset(f"experiments/{experiment}.yaml")
    out = Path("runs") / f"codec_{path.stem}" if out is None else out
    codec = fit_codec(load_config(CodecExperiment, path, overrides).config, out)
    return f"{out / 'codec'}: codec {codec.fingerprint[:12]}, {codec.num_codebooks} x {codec.codebook_size} codes"


def fit_codec(experiment: CodecExperiment, out: Path, stop_after_steps: int | None = None) -> RvqCodec:
    """Train, or go on training, and write the averaged codec to `out/codec`.

    Args:
        experiment: what to train.
        out: run folder: checkpoints, metrics, and at the end `codec/`.
        stop_after_steps: leave off early, as if interrupted; the schedule stays that of the whole.
    """
    if experiment.threads:
        torch.set_num_threads(experiment.threads)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "experiment.json", experiment.model_dump(mode="json"))
    write_json(out / "environment.json", environment())
    corpus = open_corpus(experiment.data)
    sampler = CropSampler(corpus, experiment.data, experiment.batch_size, experiment.seed)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)  # initial weights
        codec = experiment.model.build()
    if experiment.init_from is not None:
        _go_on_with(codec, Path(experiment.init_from))
    system = CodecSystem(codec, experiment.optim, experiment.loss, experiment.seed, experiment.precision)

    last = out / "checkpoints" / "last.ckpt"
    first = 0
    if last.exists():
        first = int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
        LOGGER.info("resuming %s at step %d", last, first)
    valid = valid_crops(corpus, experiment.valid_crops, experiment.data.sample_rate)
    trainer = lightning.Trainer(
        default_root_dir=out,
        max_steps=stop_after_steps or experiment.optim.max_steps,
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        gradient_clip_val=experiment.optim.clip_norm,
        val_check_interval=experiment.valid_every_steps,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY_STEPS,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=[CSVLogger(out, name="", version="metrics"), TensorBoardLogger(out, name="", version="tensorboard")],
        callbacks=[_checkpoints(out, experiment.checkpoint_minutes), _Lines()],
    )
    trainer.fit(
        system,
        DataLoader(_Batches(sampler, first), batch_size=None),
        DataLoader(TensorDataset(valid), batch_size=8, collate_fn=_stacked) if len(valid) else None,
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    trainer.save_checkpoint(last, weights_only=False)
    return save_codec(system.shipped_codec, out / "codec", replace=True)


def _go_on_with(codec: RvqCodec, run: Path) -> None:
    """Weights, codebooks and running sums of another run's last checkpoint.

    Raises:
        ValueError: there is none, or it is of another model.
    """
    path = run / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise ValueError(f"init_from={run}: no {path}; train it first (lh codec train codec/rvq)")
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    own = {name.removeprefix("codec."): value for name, value in state.items() if name.startswith("codec.")}
    try:
        codec.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(f"init_from={run}: of another model: {error}") from error


def _stacked(rows: list[tuple[Tensor]]) -> Tensor:
    return torch.stack([crop for (crop,) in rows])


class _Lines(Callback):
    """A line of progress every half minute, which also reads well in a log file."""

    def __init__(self, every_s: float = 30.0) -> None:
        self.every_s, self._last_s = every_s, time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, *unused: Any) -> None:
        if time.monotonic() - self._last_s < self.every_s:
            return
        self._last_s = time.monotonic()
        shown = ("train/minutes", "train/mel", "train/complex", "train/commitment", "valid/mel_1", "valid/mel_4")
        values = [
            f"{name} {float(trainer.callback_metrics[name]):.3f}" for name in shown if name in trainer.callback_metrics
        ]
        LOGGER.info("step %d: %s", trainer.global_step, ", ".join(values))


def _checkpoints(out: Path, minutes: float) -> ModelCheckpoint:
    return ModelCheckpoint(
        out / "checkpoints", filename="step", train_time_interval=timedelta(minutes=minutes), save_last=True
    )


def main(argv: list[str] | None = None) -> None:
    """Command line: an experiment file, a run folder, overrides."""
    parser = argparse.ArgumentParser(prog="python -m lh_mm.run.train_codec", description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    args = parser.parse_intermixed_args(argv)
    setup_logging()
    LOGGER.info("%s", train_codec(args.experiment, args.overrides, args.out))


if __name__ == "__main__":
    main()
