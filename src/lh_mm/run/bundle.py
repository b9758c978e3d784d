"""A bundle: all that leaves a run, in one folder, and all that is needed to generate from it.

    bundle.json         format version, streams with legal controls, features, what training saw
    model.safetensors   the averaged weights
    experiment.yaml     the resolved experiment
    vocabulary.json     ids of the event tokens
    codec/              the codec itself, so that a bundle is self-contained
    scores.json         measured scores, once the run has been evaluated
    README.md           the card: what it is, what it was trained on, whom to thank

Opening one never unpickles. Old format versions stay readable; a test holds one of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lh_mm.audio.codec import Codec
from lh_mm.audio.features import ConstantQConfig, LogMelConfig, read_features
from lh_mm.core.config import Config, ConfigError, validate
from lh_mm.core.files import atomic_folder, read_json, write_json
from lh_mm.core.streams import SequenceSpec
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.rows import RowSource, SequenceConfig
from lh_mm.models.base import SequenceModel
from lh_mm.models.encodec import SAFE_NAME, EncodecCodec, EncodecConfig
from lh_mm.models.load import CONFIG_NAME, load_codec, save_codec
from lh_mm.models.rvq_codec import RvqCodec
from lh_mm.music.tokenizer import Vocabulary, read_tokenizer
from lh_mm.music.vocabulary import EventVocabulary
from lh_mm.run.experiment import Experiment

FORMAT_VERSION = 1
MODEL, MANIFEST, EXPERIMENT, VOCABULARY, CODEC, SCORES, CARD = (
    "model.safetensors", "bundle.json", "experiment.yaml", "vocabulary.json", "codec", "scores.json", "README.md",
)  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; the model is built when it is first used.

    Attributes:
        path: its folder.
        manifest: `bundle.json`.
        experiment: what was trained.
        spec: streams on one clock, with the legal control values.
        vocabulary: ids of the event tokens.
    """

    path: Path
    manifest: Mapping[str, Any]
    experiment: Experiment
    spec: SequenceSpec
    vocabulary: EventVocabulary | Vocabulary

    @classmethod
    def load(cls, path: Path, model: type[Config] | None = None) -> Bundle:
        """Open a bundle's folder.

        Args:
            path: the folder.
            model: class of the model's settings, for a bundle of a model that is not ours: a file cannot name code.

        Raises:
            ValueError: if it is no bundle, is damaged, or has a format this version cannot read.
        """
        if not (path / MANIFEST).is_file():
            raise ValueError(f"{path} is not a bundle: it has no {MANIFEST}")
        manifest = read_json(path / MANIFEST)
        version = manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"{path / MANIFEST}: format_version {version}, this lh_mm reads 1 to {FORMAT_VERSION}")
        try:
            tree = yaml.safe_load((path / EXPERIMENT).read_text(encoding="utf-8"))
            if model is not None:
                tree["model"] = validate(model, tree["model"], str(path / EXPERIMENT))
            experiment = validate(Experiment, tree, str(path / EXPERIMENT))
            spec = SequenceSpec.from_json(manifest["spec"])
            vocabulary = _vocabulary((path / VOCABULARY).read_text(encoding="utf-8"))
        except ConfigError:
            raise
        except (KeyError, TypeError, yaml.YAMLError, OSError) as error:
            raise ValueError(f"{path}: damaged bundle: {type(error).__name__}: {error}") from error
        return cls(path, manifest, experiment, spec, vocabulary)

    @cached_property
    def model(self) -> SequenceModel:
        """The model with its weights, in fp32 on the CPU, ready to generate.

        Raises:
            ValueError: if the weights are damaged or do not fit the configuration.
        """
        model = self.experiment.model.build(self.spec)
        model.load_state_dict(self.weights(), strict=True)
        return model.eval().requires_grad_(False)

    def weights(self) -> dict[str, Tensor]:
        """The stored weights as fp32 (they may be stored in bf16)."""
        try:
            stored = load_file(self.path / MODEL)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{self.path / MODEL}: cannot be read: {error}") from error
        return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}

    @cached_property
    def codec(self) -> Codec | None:
        """The bundle's own codec, None for notes alone."""
        return load_codec(self.path / CODEC) if (self.path / CODEC).is_dir() else None

    @property
    def event_vocabulary(self) -> EventVocabulary:
        """The vocabulary of a merged sequence.

        Raises:
            ValueError: for a bundle of a symbolic tokenizer.
        """
        if not isinstance(self.vocabulary, EventVocabulary):
            raise ValueError(
                f"bundle '{self.manifest['name']}' is of a symbolic tokenizer, it does not generate slot by slot"
            )
        return self.vocabulary

    def rows(self, dataset: PreparedSet, sequence: SequenceConfig | None = None) -> RowSource:
        """Rows of a set in this bundle's streams and vocabulary.

        Args:
            dataset: whose pieces.
            sequence: how they become rows; by default as the bundle was trained.

        Raises:
            ValueError: the set cannot be read in them.
        """
        found = sequence or self.experiment.sequence
        if isinstance(found, MergedConfig):
            return found.build(dataset, self.spec)
        own = json.loads(self.vocabulary.to_json())["kind"]
        if found.kind != own:
            raise ValueError(f"sequence.kind is {found.kind}, but bundle '{self.manifest['name']}' has {own} tokens")
        return found.build(dataset, self.spec, self.vocabulary)  # type: ignore[arg-type]

    @property
    def features(self) -> LogMelConfig | ConstantQConfig | None:
        """Settings of the front end's features."""
        settings = self.manifest.get("features")
        return None if settings is None else read_features(settings, str(self.path / MANIFEST))

    @property
    def scores(self) -> dict[str, Any]:
        """Measured scores, empty before an evaluation."""
        return dict(read_json(self.path / SCORES)) if (self.path / SCORES).is_file() else {}


def _vocabulary(text: str) -> EventVocabulary | Vocabulary:
    """The vocabulary that a bundle stores: it says which kind it is."""
    return EventVocabulary.from_json(text) if json.loads(text)["kind"] == "events" else read_tokenizer(text)


def save_bundle(
    path: Path,
    *,
    experiment: Experiment,
    spec: SequenceSpec,
    vocabulary: EventVocabulary | Vocabulary,
    weights: Mapping[str, Tensor],
    codec: Codec | None,
    features: LogMelConfig | ConstantQConfig | None,
    training: Mapping[str, Any],
    card: str,
    num_parameters: int,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a bundle, whole or not at all; an older one at `path` is replaced.

    Args:
        path: folder to make.
        experiment: the resolved experiment.
        spec: the streams.
        vocabulary: of the event tokens.
        weights: the model's state dict.
        codec: None for notes alone.
        features: of the front end.
        training: what the run saw: data fingerprint, steps, seconds of music.
        card: Markdown for `README.md`.
        num_parameters: of the model; its weights also hold buffers.
        dtype: of the stored floating-point weights.
    """
    stored = {
        name: value.detach().cpu().to(dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, value in weights.items()
    }
    with atomic_folder(path, replace=True) as folder:
        save_file(stored, folder / MODEL)
        tree = experiment.model_dump(mode="json")
        (folder / EXPERIMENT).write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
        (folder / VOCABULARY).write_text(vocabulary.to_json(), encoding="utf-8")
        if codec is not None:
            _store_codec(codec, folder / CODEC)
        write_json(
            folder / MANIFEST,
            {
                "format_version": FORMAT_VERSION,
                "name": experiment.name,
                "spec": spec.to_json(),
                "features": None if features is None else features.model_dump(mode="json"),
                "num_parameters": num_parameters,
                "training": dict(training),
            },
        )


def _store_codec(codec: Codec, folder: Path) -> None:
    """A copy of the codec that `load_codec(folder)` opens.

    Raises:
        ValueError: for a codec that cannot be stored.
    """
    if isinstance(codec, RvqCodec):
        save_codec(codec, folder)
    elif isinstance(codec, EncodecCodec):
        folder.mkdir()
        save_file({k: v.detach().contiguous() for k, v in codec.model.state_dict().items()}, folder / SAFE_NAME)
        kbps = codec.num_codebooks * codec.rate_hz * codec.model.bits_per_codebook / 1000
        write_json(folder / CONFIG_NAME, EncodecConfig(bandwidth_kbps=kbps).model_dump(mode="json"))
    else:
        raise ValueError(f"a bundle cannot store a codec of type {type(codec).__name__}")
