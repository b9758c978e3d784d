"""What shipped weights are worth for music of one's own: MMM from scratch and from a bundle, the same steps.

    python benchmarks/warm_start.py                          # chorales, 150 steps
    python benchmarks/warm_start.py --experiment baseline/symbolic/mmm_thinned --bundle demo-mmm-hybrid
    python benchmarks/warm_start.py --folder my_music

Without a folder one is made as a newcomer has it: MIDI files, written from a corpus that the bundle was not trained on.
Both trainings are `lh train EXPERIMENT data.folder=FOLDER`, one with `init_from`; both are judged by the
nats a token of the same held-out files of that folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import commit, hardware

from lh_mm.core.files import write_json
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import find_recipe, load_recipe
from lh_mm.music.midi_write import write_midi
from lh_mm.run.train import train
from lh_mm.systems.tracking import read_metrics

EXPERIMENT = "baseline/symbolic/mmm"
BUNDLE = "demo-mmm"


def write_folder(recipe: str, folder: Path) -> int:
    """Every piece of a corpus as a MIDI file in `folder`; returns how many."""
    source = PreparedSet(prepare(load_recipe(find_recipe(recipe)).config))
    scores = {piece.id: score for piece in source.pieces() if (score := source.score(piece)) is not None}
    for name, score in scores.items():
        write_midi(score, folder / f"{name.replace('/', '_')}.mid")
    return len(scores)


def curve(run: Path) -> dict[int, float]:
    """Step to nats a token of the held-out files."""
    return {step: value for step, name, value in read_metrics(run / "metrics.csv") if name == "valid/nats_event"}


def compare(
    folder: Path, steps: int, experiment: str, bundle: str, options: Sequence[str], runs: Path
) -> dict[str, dict[int, float]]:
    """The curves of both trainings on the files in `folder`."""
    every = max(1, steps // 3)
    same = [
        f"data.folder={folder}", f"trainer.max_steps={steps}", "trainer.max_music_h=null", "optim.warmup_steps=20",
        f"trainer.valid_every={every}", f"trainer.checkpoint_every={steps}", *options,
    ]  # fmt: skip
    starts = {"from scratch": [], "from the bundle": [f"init_from={bundle}"]}
    return {name: curve(train(experiment, [*same, *more], runs=runs / name)) for name, more in starts.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, help="music of one's own, instead of a corpus")
    arguments.add_argument("--recipe", default="jsb", help="corpus whose files are the folder (default: %(default)s)")
    arguments.add_argument("--steps", type=int, default=150, help="of each training (default: %(default)s)")
    arguments.add_argument("--experiment", default=EXPERIMENT, help="what is trained (default: %(default)s)")
    arguments.add_argument("--bundle", default=BUNDLE, help="where one of the two begins (default: %(default)s)")
    arguments.add_argument("--set", action="append", default=[], help="an override of both, as trainer.threads=1")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the figures")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder
        if folder is None:
            folder = Path(temporary) / given.recipe
            folder.mkdir()
            write_folder(given.recipe, folder)
        valid = compare(folder, given.steps, given.experiment, given.bundle, given.set, Path(temporary))
    for name, values in valid.items():
        print(f"{name}: " + ", ".join(f"{value:.3f} after {step}" for step, value in values.items()) + " nats a token")
    out = given.out / f"warm_start.{folder.name}.{Path(given.experiment).stem}.json"
    write_json(out, {
        "command": " ".join(["python benchmarks/warm_start.py", *sys.argv[1:]]), "folder": folder.name,
        "commit": commit(), "hardware": hardware(), "experiment": given.experiment,
        "bundle": given.bundle,
        "measure": "nats a token of held-out files under the grammar's mask, by step",
        "valid": {name: {str(step): value for step, value in values.items()} for name, values in valid.items()},
    })  # fmt: skip
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
