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
    from lh_mm.data.prepared import PreparedSet
    from lh_mm.run.generate import Musician

__version__ = "0.1.0"


def load(run: str | Path = "demo") -> Musician:
    """Open a bundle to generate from: a folder, a run id, `latest`, or `demo` (the shipped weights).

    Raises:
        ValueError: if there is no such run or it has no bundle.
    """
    from lh_mm.run.generate import Musician

    return Musician.load(str(run))


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


def train(experiment: str | Path, *overrides: str) -> Path:
    """Train an experiment (`lh train`) and return its run folder.

    Args:
        experiment: a YAML file, or the name of a shipped experiment.
        overrides: `key=value`.

    Raises:
        ConfigError: for a mistake in the experiment.
    """
    from lh_mm.run.train import train as train_experiment

    return train_experiment(str(experiment), overrides)
