"""What a run is built of: data, rows and a model, from the settings of an experiment and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lh_mm.audio.codec import VectorCodec
from lh_mm.core.config import ConfigError
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.rows import RowSource
from lh_mm.models.load import load_codec
from lh_mm.nn.codes import CodeVectors
from lh_mm.run.bundle import Bundle
from lh_mm.run.experiment import Experiment
from lh_mm.run.prepare import prepare, prepare_folder
from lh_mm.run.runs import find_bundle
from lh_mm.systems.adapters import AdapterConfig, adapt
from lh_mm.systems.trainer import TrainerConfig, faster_precision


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


def assemble(config: Experiment) -> Prepared:
    """Prepare the data and build rows and model.

    Raises:
        ValueError: for data that cannot serve the tasks, or a bundle of another vocabulary or codec.
    """
    trainer = config.trainer
    if trainer.precision == "auto":
        trainer = trainer.model_copy(update={"precision": faster_precision(device_of(trainer))})
        config = config.model_copy(update={"trainer": trainer})
    parent = None if config.init_from is None else Bundle.load(find_bundle(config.init_from))
    dataset = prepare_data(config)
    source = config.sequence.build(dataset) if parent is None else _source_of_parent(config, dataset, parent)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trainer.seed)
        model = config.model.build(source.spec)
    if parent is not None:
        model.load_state_dict(parent.weights())
    elif isinstance(held := getattr(model, "code_vectors", None), CodeVectors):
        _take_vectors(held, dataset)
    if config.lora is not None:
        lora = config.lora if parent is not None else _lora_of_text(config, config.lora)
        config = config.model_copy(update={"lora": lora})
        adapt(model, lora)
    freeze(model, config.freeze)
    return Prepared(config, dataset, source, model, parent)


def freeze(model: torch.nn.Module, parts: Sequence[str]) -> None:
    """Take parts of a model out of training.

    Args:
        model: whose parameters are frozen.
        parts: each the name of a module or parameter, as `frontend` or `layers.0.in_proj.weight`.

    Raises:
        ConfigError: naming each part that the model does not have, with the parts that it has.
    """
    names = dict(model.named_parameters())
    problems = []
    for part in parts:
        own = [parameter for name, parameter in names.items() if name == part or name.startswith(f"{part}.")]
        if not own:
            known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            problems.append(f"freeze: the model has no part '{part}'; it has {known}")
        for parameter in own:
            parameter.requires_grad_(False)
    if parts and not problems and not any(parameter.requires_grad for parameter in names.values()):
        problems.append("freeze: nothing is left to train")
    if problems:
        raise ConfigError("experiment", problems)


def _lora_of_text(config: Experiment, lora: AdapterConfig) -> AdapterConfig:
    """Adapters of a text model that learns music; what is new to it is trained whole, or it would stay as drawn.

    Raises:
        ConfigError: there is no trained model to adapt.
    """
    if getattr(config.model, "pretrained", None) is None:
        raise ConfigError("experiment", ["lora: adapts a trained model; say which with init_from"])
    whole = tuple(dict.fromkeys([*lora.whole, "event_embedding", "header_embedding"]))
    return lora.model_copy(update={"whole": whole})


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


NOTES_ALONE = ("audio.render=none", "codec=null", "features=null")
"""How a folder is prepared for rows without sound: nobody waits for a synthesizer whose sound is not read."""


def prepare_data(config: Experiment) -> PreparedSet:
    """The prepared set of an experiment; what is done already is not done again."""
    data = config.data
    if data.folder is not None:
        told = () if isinstance(config.sequence, MergedConfig) else NOTES_ALONE
        return prepare_folder(Path(data.folder), [*told, *data.override_list])
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
    return parent.rows(dataset, config.sequence)


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


def device_of(trainer: TrainerConfig) -> str:
    """`cuda` or `cpu`, as a trainer of these settings will choose."""
    return "cuda" if trainer.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
