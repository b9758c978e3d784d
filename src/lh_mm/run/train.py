"""`lh train`: one training run, from an experiment file to a bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from lh_mm.core.config import load_config
from lh_mm.core.files import write_atomic, write_json
from lh_mm.core.log import console
from lh_mm.core.reproduce import environment
from lh_mm.data.datamodule import MusicData
from lh_mm.models.hf import HfConfig
from lh_mm.run.assemble import Prepared, assemble, codec_of, device_of
from lh_mm.run.bundle import save_bundle
from lh_mm.run.card import card_of
from lh_mm.run.experiment import Experiment, load_experiment
from lh_mm.run.plan import plan_text
from lh_mm.run.runs import BUNDLE, find_run, new_run_dir, shared
from lh_mm.systems.adapters import merge
from lh_mm.systems.language import LanguageSystem
from lh_mm.systems.shard import whole
from lh_mm.systems.throughput import peak_matmul_flops
from lh_mm.systems.tracking import CsvLog, build_loggers
from lh_mm.systems.trainer import StepProgress


def plan(experiment: str, overrides: Sequence[str] = ()) -> str:
    """What a run would cost: parameters, memory, tokens, time. Nothing is trained.

    Raises:
        ConfigError: for a mistake in the experiment.
    """
    return plan_text(load_experiment(experiment, overrides).config)


def train(
    experiment: str | Experiment | None,
    overrides: Sequence[str] = (),
    *,
    resume: str | None = None,
    runs: Path = Path("runs"),
) -> Path:
    """Train, and write the run's bundle.

    Args:
        experiment: a file, or a name in `experiments/`; None when resuming, or the name of the run's own. Or the
            settings themselves, as for a model of one's own; overrides are then not taken.
        overrides: `a.b=c`.
        resume: a run to go on with; its own resolved experiment is used, with the overrides.
        runs: where runs are kept.

    Returns:
        The run's folder.

    Raises:
        ConfigError: for a mistake in the experiment.
        ValueError: for data that cannot serve it, a bundle that does not fit, or a run of another experiment.
    """
    if isinstance(experiment, Experiment):
        if overrides:
            raise ValueError(f"settings are changed before they are given to train, got overrides {list(overrides)}")
        config, run_dir = experiment, None if resume is None else find_run(resume, runs)
    elif resume is None:
        if experiment is None:
            raise ValueError("name an experiment to train, or a run to go on with (--resume RUN)")
        config = load_experiment(experiment, overrides).config
        run_dir = None
    else:
        run_dir = find_run(resume, runs)
        config = load_config(Experiment, run_dir / "experiment.yaml", overrides).config
        if experiment is not None and (name := load_experiment(experiment).config.name) != config.name:
            raise ValueError(f"--resume {resume}: a run of '{config.name}', not of {experiment} ('{name}')")
    parts = assemble(config)
    if run_dir is None:
        run_dir = new_run_dir(runs, config.name)
    with shared(run_dir):
        _fit(parts, run_dir)
    return run_dir


def train_once(experiment: str, overrides: Sequence[str], runs: Path) -> Path:
    """The newest finished run of exactly this experiment below `runs`; it is trained, or gone on with, if need be."""
    wanted = load_experiment(experiment, overrides).config
    for run_dir in sorted((runs / wanted.name).glob("*/"), reverse=True):
        if not (run_dir / "experiment.yaml").is_file():
            continue
        found = load_config(Experiment, run_dir / "experiment.yaml").config
        if wanted.trainer.precision == "auto":
            found = found.model_copy(update={"trainer": found.trainer.model_copy(update={"precision": "auto"})})
        if found == wanted:
            return run_dir if (run_dir / BUNDLE).is_dir() else train(None, resume=str(run_dir), runs=runs)
    return train(experiment, overrides, runs=runs)


def _fit(parts: Prepared, run_dir: Path) -> None:
    config, trainer_config = parts.experiment, parts.experiment.trainer
    if trainer_config.threads is not None:
        torch.set_num_threads(trainer_config.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # we say ourselves what matters
    tree = config.model_dump(mode="json")
    with write_atomic(run_dir / "experiment.yaml", "w") as file:
        yaml.safe_dump(tree, file, sort_keys=False, allow_unicode=True)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    if not checkpoint.is_file():
        write_json(run_dir / "environment.json", environment())
    loggers = build_loggers(config.tracking, run_dir, config.name, tree)
    data = MusicData(
        parts.source, batch_size=trainer_config.batch_size, accumulate=trainer_config.accumulate,
        valid_batches=trainer_config.valid_batches, workers=trainer_config.workers, seed=trainer_config.seed,
    )  # fmt: skip
    parts.model.recompute = trainer_config.recompute
    system = LanguageSystem(
        parts.model, config.optim, config.loss,
        max_steps=trainer_config.max_steps, max_minutes=trainer_config.max_minutes, seed=trainer_config.seed,
        peak_flops=peak_matmul_flops(device_of(trainer_config), trainer_config.precision), chunk=trainer_config.chunk,
        max_music_h=trainer_config.max_music_h,
    )  # fmt: skip
    progress = StepProgress(f"training {config.name}")
    trainer = trainer_config.build(run_dir, loggers, [progress, *_sample_callbacks(parts, loggers)])
    frozen = sum(p.numel() for p in parts.model.parameters() if not p.requires_grad)
    size = f"{parts.model.num_parameters():,} parameters" + (f" ({frozen:,} frozen)" if frozen else "")
    console().print(f"run {run_dir}: {size}, {trainer_config.precision}")
    resume_from, step = None, -1  # a run that was killed before its first checkpoint begins again
    if checkpoint.is_file():
        resume_from = checkpoint
        step = int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    for logger in loggers:
        if isinstance(logger, CsvLog):
            logger.forget_after(step)
    trainer.fit(system, datamodule=data, ckpt_path=resume_from, weights_only=True)
    if system.progress < 1 and trainer.global_step < trainer_config.max_steps:
        console().print(f"stopped at step {trainer.global_step}; go on with: lh train --resume {run_dir}")
        return
    weights = {name: whole(value) for name, value in system.average.state_of(parts.model).items()}
    if trainer.is_global_zero:
        write_bundle(parts, system, weights, run_dir)
        console().print(f"wrote {run_dir / BUNDLE}")


def _sample_callbacks(parts: Prepared, loggers: Sequence[Any]) -> list[Any]:
    every = parts.experiment.trainer.samples_every
    if every is None:
        return []
    from lh_mm.systems.samples import LogSamples

    return [LogSamples(parts.source, codec_of(parts.dataset), loggers, every)]


def write_bundle(parts: Prepared, system: LanguageSystem, weights: dict[str, Tensor], run_dir: Path) -> None:
    """The averaged weights with everything that generating needs."""
    about = parts.dataset.about
    config = parts.experiment
    own = getattr(parts.model, "config", None)  # without the place that weights came from
    if isinstance(own, HfConfig) and own != config.model:
        config = config.model_copy(update={"model": own})
    training = {
        "data": about["name"],
        "fingerprint": parts.dataset.path.name,
        "licence": about["licence"],
        "synthetic": any(piece.labels.get("synthetic") for piece in parts.dataset.pieces("train")),
        "pieces": len(parts.dataset.pieces("train")),
        "hours": round(sum(piece.duration_s for piece in parts.dataset.pieces("train")) / 3600, 3),
        "steps": int(system.global_step),
        "minutes": round(system.elapsed_s / 60, 1),
        "music_h": round(system.music_h, 3),
        "init_from": config.init_from,
    }
    num_parameters = parts.model.num_parameters()
    if config.lora is not None:
        plain = config.model.build(parts.source.spec)
        num_parameters = plain.num_parameters()
        merge(plain, config.lora, weights)
        weights = plain.state_dict()
    save_bundle(
        run_dir / BUNDLE, experiment=config, spec=parts.source.spec, vocabulary=parts.source.vocabulary,
        weights=weights, codec=codec_of(parts.dataset),
        features=parts.dataset.feature_config,
        training=training, card=card_of(config, training, num_parameters),
        num_parameters=num_parameters,
    )  # fmt: skip
