"""LittleHolland: MIDI and audio on one clock.

What the command line does, from Python. Nothing heavy is imported before it is used:

    import lh_mm

    music = lh_mm.load("demo")
    result = music.generate(midi="loop.mid", seed=1)
    result.save("loop.wav")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lh_mm.core.config import Config
    from lh_mm.data.prepared import PreparedSet
    from lh_mm.run.experiment import Experiment
    from lh_mm.run.generate import Musician

__version__ = "0.1.0"


def load(run: str | Path = "demo", model: type[Config] | None = None) -> Musician:
    """Open a bundle to generate from: a folder, a run id, `latest`, or `demo` (the shipped weights).

    Args:
        run: which.
        model: class of the model's settings, for a model of one's own (docs/your_own_model.md).

    Raises:
        ValueError: if there is no such run or it has no bundle.
    """
    from lh_mm.run.generate import Musician

    return Musician.load(str(run), model)


def prepare(recipe: str | Path, *overrides: str) -> PreparedSet:
    """Prepare a data recipe (`lh data prepare`); what is done already is not done again.

    Args:
        recipe: a YAML file, or the name of a shipped recipe.
        overrides: `key=value`.

    Raises:
        ConfigError: for a mistake in the recipe.
    """
    from lh_mm.run.prepare import prepare as prepare_recipe

    return prepare_recipe(recipe, overrides)


def train(experiment: str | Path | Experiment, *overrides: str) -> Path:
    """Train an experiment (`lh train`) and return its run folder.

    Args:
        experiment: a YAML file, the name of a shipped experiment, or settings made in Python.
        overrides: `key=value`.

    Raises:
        ConfigError: for a mistake in the experiment.
    """
    from lh_mm.run.train import train as train_experiment

    return train_experiment(str(experiment) if isinstance(experiment, Path) else experiment, overrides)
