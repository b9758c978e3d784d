"""`lh train`: one training run, from an experiment file to a bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from lh_mm.audio.codec import VectorCodec
from lh_mm.core.config import ConfigError, load_config
from lh_mm.core.files import write_atomic, write_json
from lh_mm.core.log import console
from lh_mm.core.reproduce import environment
from lh_mm.data.datamodule import MusicData
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.rows import RowSource
from lh_mm.models.load import load_codec
from lh_mm.nn.codes import CodeVectors
from lh_mm.run.bundle import Bundle, save_bundle
from lh_mm.run.card import card_of
from lh_mm.run.experiment import DataConfig, Experiment, load_experiment
from lh_mm.run.plan import plan_text
from lh_mm.run.prepare import prepare, prepare_folder
from lh_mm.run.runs import BUNDLE, find_bundle, find_run, new_run_dir, shared
from lh_mm.systems.language import LanguageSystem
from lh_mm.systems.throughput import peak_matmul_flops
from lh_mm.systems.tracking import CsvLog, build_loggers
from lh_mm.systems.trainer import StepProgress, TrainerConfig, faster_precision


@dataclass(frozen=True)
class Prepared:
    """What a run is built of.

    Attributes:
        experiment: resolved, nothing left at `auto`.
        dataset: the prepared set.
        source: its rows.
        model: fresh, or with the weights of `init_from`.
        parent: the bundle of `init_from`.
    """

    experiment: Experiment
    dataset: PreparedSet
    source: RowSource
    model: Any
    parent: Bundle | None


def plan(experiment: str, overrides: Sequence[str] = ()) -> str:
    """What a run would cost: parameters, memory, tokens, time. Nothing is trained.

    Raises:
        ConfigError: for a mistake in the experiment.
    """
    return plan_text(load_experiment(experiment, overrides).config)


def train(
    experiment: str | Experiment,
    overrides: Sequence[str] = (),
    *,
    resume: str | None = None,
    runs: Path = Path("runs"),
) -> Path:
    """Train, and write the run's bundle.

    Args:
        experiment: a file, or a name in `experiments/`; ignored (but checked) when resuming. Or the settings
            themselves, as for a model of one's own; overrides are then not taken.
        overrides: `a.b=c`.
        resume: a run to go on with; its own resolved experiment is used, with the overrides.
        runs: where runs are kept.

    Returns:
        The run's folder.

    Raises:
        ConfigError: for a mistake in the experiment.
        ValueError: for data that cannot serve it, or a bundle that does not fit.
    """
    if isinstance(experiment, Experiment):
        if overrides:
            raise ValueError(f"settings are changed before they are given to train, got overrides {list(overrides)}")
        config, run_dir = experiment, None if resume is None else find_run(resume, runs)
    elif resume is None:
        config = load_experiment(experiment, overrides).config
        run_dir = None
    else:
        run_dir = find_run(resume, runs)
        config = load_config(Experiment, run_dir / "experiment.yaml", overrides).config
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
            return run_dir if (run_dir / BUNDLE).is_dir() else train(experiment, (), resume=str(run_dir), runs=runs)
    return train(experiment, overrides, runs=runs)


def assemble(config: Experiment) -> Prepared:
    """Prepare the data and build rows and model.

    Raises:
        ValueError: for data that cannot serve the tasks, or a bundle of another vocabulary or codec.
    """
    trainer = config.trainer
    if trainer.precision == "auto":
        trainer = trainer.model_copy(update={"precision": faster_precision(_device(trainer))})
        config = config.model_copy(update={"trainer": trainer})
    parent = None if config.init_from is None else Bundle.load(find_bundle(config.init_from))
    dataset = prepare_data(config.data)
    source = config.sequence.build(dataset) if parent is None else _source_of_parent(config, dataset, parent)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trainer.seed)
        model = config.model.build(source.spec)
    if parent is not None:
        model.load_state_dict(parent.weights())
    elif isinstance(getattr(model, "code_vectors", None), CodeVectors):
        _take_vectors(model.code_vectors, dataset)
    return Prepared(config, dataset, source, model, parent)


def _take_vectors(held: CodeVectors, dataset: PreparedSet) -> None:
    """Give a fresh model the vectors of the codec that made its codes.

    Raises:
        ConfigError: the codec has none, or of another width.
    """
    codec = codec_of(dataset)
    if not isinstance(codec, VectorCodec):
        raise ConfigError(
            "model", [f"code_vectors: codec {dataset.about['codec']['source']} has no vectors; set it to 0"]
        )
    vectors = codec.code_vectors()
    if vectors.shape != held.vectors.shape:
        raise ConfigError(
            "model", [f"code_vectors: {held.vectors.shape[-1]}, but the codec's have {vectors.shape[-1]}"]
        )
    held.take(vectors)


def prepare_data(data: DataConfig) -> PreparedSet:
    """The prepared set of an experiment; what is done already is not done again."""
    if data.folder is not None:
        return prepare_folder(Path(data.folder), data.override_list)
    assert data.recipe is not None
    return prepare(data.recipe, data.override_list)


def _source_of_parent(config: Experiment, dataset: PreparedSet, parent: Bundle) -> RowSource:
    """Rows in the parent's streams, vocabulary and controls, so that its weights fit.

    Raises:
        ConfigError: if the model differs, or the data was encoded by another codec.
    """
    problems = []
    if config.model != parent.experiment.model:
        problems.append(
            f"model: differs from the bundle's; leave it out or set it to the same "
            f"(bundle: {parent.experiment.model.model_dump(mode='json')})"
        )
    codec = parent.codec
    own = dataset.about["codec"]["fingerprint"] if dataset.about["codec"] else None
    if codec is not None and own is not None and codec.fingerprint != own:
        problems.append(f"data: its codes are of codec {own[:12]}, the bundle's codec is {codec.fingerprint[:12]}")
    if problems:
        raise ConfigError(f"init_from={config.init_from}", problems)
    return config.sequence.build(dataset, parent.spec)


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
        peak_flops=peak_matmul_flops(_device(trainer_config), trainer_config.precision),
    )  # fmt: skip
    progress = StepProgress(f"training {config.name}")
    trainer = trainer_config.build(run_dir, loggers, [progress, *_sample_callbacks(parts, loggers)])
    console().print(f"run {run_dir}: {parts.model.num_parameters():,} parameters, {trainer_config.precision}")
    resume_from, step = None, -1  # a run that was killed before its first checkpoint begins again
    if checkpoint.is_file():
        resume_from = checkpoint
        step = int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    for logger in loggers:
        if isinstance(logger, CsvLog):
            logger.forget_after(step)
    trainer.fit(system, datamodule=data, ckpt_path=resume_from, weights_only=True)
    if system.progress < 1 and trainer.global_step < trainer_config.max_steps:
        console().print(f"stopped at step {trainer.global_step}; go on with: lh train --resume {run_dir} {config.name}")
        return
    if trainer.is_global_zero:
        write_bundle(parts, system, run_dir)
        console().print(f"wrote {run_dir / BUNDLE}")


def _device(trainer: TrainerConfig) -> str:
    return "cuda" if trainer.accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def _sample_callbacks(parts: Prepared, loggers: Sequence[Any]) -> list[Any]:
    every = parts.experiment.trainer.samples_every
    if every is None:
        return []
    from lh_mm.systems.samples import LogSamples

    return [LogSamples(parts.source, codec_of(parts.dataset), loggers, every)]


def codec_of(dataset: PreparedSet) -> Any:
    """The codec that made a set's codes, None without one.

    Raises:
        ValueError: if the codec at that place is another one by now.
    """
    about = dataset.about["codec"]
    if not about:
        return None
    codec = load_codec(about["source"])
    if codec.fingerprint != about["fingerprint"]:
        raise ValueError(
            f"{dataset.path}: its codes are of codec {about['fingerprint'][:12]}, but '{about['source']}' is "
            f"{codec.fingerprint[:12]} now; prepare the data again"
        )
    return codec


def write_bundle(parts: Prepared, system: LanguageSystem, run_dir: Path) -> None:
    """The averaged weights with everything that generating needs."""
    about = parts.dataset.about
    config = parts.experiment
    training = {
        "data": about["name"],
        "fingerprint": parts.dataset.path.name,
        "licence": about["licence"],
        "synthetic": any(piece.labels.get("synthetic") for piece in parts.dataset.pieces("train")),
        "pieces": len(parts.dataset.pieces("train")),
        "hours": round(sum(piece.duration_s for piece in parts.dataset.pieces("train")) / 3600, 3),
        "steps": int(system.global_step),
        "minutes": round(system.elapsed_s / 60, 1),
        "init_from": config.init_from,
    }
    save_bundle(
        run_dir / BUNDLE, experiment=config, spec=parts.source.spec, vocabulary=parts.source.vocabulary,
        weights=system.average.state_of(parts.model), codec=codec_of(parts.dataset),
        features=parts.dataset.feature_config,
        training=training, card=card_of(config, training, parts.model.num_parameters()),
    )  # fmt: skip
