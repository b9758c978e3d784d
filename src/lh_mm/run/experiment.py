"""The whole configuration tree of an experiment: the only file that knows every component's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from lh_mm.core.config import Config, Loaded, load_config
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.rows import SequenceConfig
from lh_mm.evaluate.settings import EvaluateConfig
from lh_mm.models.hf import HfConfig
from lh_mm.models.hybrid_mamba import HybridMambaConfig
from lh_mm.models.musenet import MusenetModelConfig
from lh_mm.models.music_transformer import MusicTransformerConfig
from lh_mm.run.runs import find_file
from lh_mm.systems.adapters import AdapterConfig
from lh_mm.systems.language import LossWeights
from lh_mm.systems.optim import OptimConfig
from lh_mm.systems.tracking import TrackingConfig
from lh_mm.systems.trainer import TrainerConfig

OURS = HybridMambaConfig | MusicTransformerConfig | MusenetModelConfig | HfConfig


def _own_model(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Settings of a model of one's own pass as they are; everything else is read as settings of ours."""
    if isinstance(value, Mapping) and "kind" not in value:
        value = {"kind": "hybrid_mamba", **value}
    is_own = not isinstance(value, Mapping | OURS) and callable(getattr(value, "build", None))
    return value if is_own else read(value)


ModelConfig = Annotated[SerializeAsAny[Annotated[OURS, Field(discriminator="kind")]], WrapValidator(_own_model)]
"""YAML knows our kinds alone; from Python any `Config` whose `build(spec)` gives a `SequenceModel` will do
(docs/your_own_model.md)."""
DATA_ALTERNATIVES = (("recipe", "folder"),)


class DataConfig(Config):
    """Which music: a recipe, or a folder of one's own."""

    recipe: str | None = None
    """A data recipe: a file, or a name in data_recipes/."""
    folder: str | None = None
    """A folder of MIDI, of sound, or of both side by side; it is prepared by the recipe `folder`."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Changes to the recipe, as `pieces: 100`."""

    @model_validator(mode="after")
    def _one(self) -> DataConfig:
        if (self.recipe is None) == (self.folder is None):
            raise ValueError("give one of recipe and folder")
        return self

    @property
    def override_list(self) -> list[str]:
        """`overrides` as the command line spells them."""
        return [f"{key}={value}" for key, value in self.overrides.items()]


class Experiment(Config):
    """One training run and how it is judged."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Of the experiment; its runs are kept in runs/<name>/."""
    question: str
    """What the experiment asks."""
    data: DataConfig
    """Which music."""
    sequence: SequenceConfig = MergedConfig()
    """How pieces become rows of tokens, and the mixture of tasks."""
    model: ModelConfig = HybridMambaConfig()
    """What is trained."""
    init_from: str | None = None
    """A bundle whose weights training begins with: a run, or `demo`. Its streams, vocabulary and codec are kept."""
    freeze: tuple[str, ...] = ()
    """Parts of the model that are not trained, by name (`frontend`, `layers.0`): for fine-tuning on little music."""
    lora: AdapterConfig | None = None
    """Low-rank adapters: they alone are trained, beside the weights of `init_from`."""
    loss: LossWeights = LossWeights()
    """What each head weighs."""
    optim: OptimConfig = OptimConfig()
    """Optimiser and schedule."""
    trainer: TrainerConfig = TrainerConfig()
    """How long, on what, how often."""
    tracking: TrackingConfig = TrackingConfig()
    """Where numbers, pictures and sounds go."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How the run is judged."""


def load_experiment(file: str | Path, overrides: Sequence[str] = ()) -> Loaded[Experiment]:
    """An experiment from a file, or by its name in `experiments/`, with overrides `a.b=c`.

    Raises:
        ConfigError: every mistake at once.
        ValueError: there is no such file.
    """
    return load_config(Experiment, find_file(str(file), "experiments"), overrides, DATA_ALTERNATIVES)
