"""What is committed as a result is what today's code makes of it, and of experiments as they are today."""

from __future__ import annotations

from pathlib import Path

import yaml

from lh_mm.core.assets import asset
from lh_mm.core.config import validate
from lh_mm.core.files import read_json
from lh_mm.run.compare import compare
from lh_mm.run.compare_folder import finished_runs
from lh_mm.run.experiment import Experiment, load_experiment

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results/symbolic"
EXPERIMENTS = asset("experiments/baseline/symbolic")


def test_the_tables_of_notes_alone_are_of_their_records(tmp_path: Path) -> None:
    compare([str(EXPERIMENTS)], tmp_path, runs_dir=RESULTS / "runs")
    assert read_json(tmp_path / "table.json") == read_json(RESULTS / "table.json")
    assert (tmp_path / "table.md").read_text() == (RESULTS / "table.md").read_text()


def test_every_row_is_of_the_experiment_as_it_is() -> None:
    stale = []
    for file in sorted(EXPERIMENTS.glob("*.yaml")):
        wanted = load_experiment(file).config
        runs = finished_runs(RESULTS / "runs", wanted.name)
        assert runs, f"{file} has no row: lh compare --train"
        for run in runs:
            tree = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
            found = validate(Experiment, tree, str(run))
            same = all(getattr(found, part) == getattr(wanted, part) for part in ("data", "model", "sequence", "optim"))
            if not same or found.trainer.max_music_h != wanted.trainer.max_music_h:
                stale.append(str(run.relative_to(RESULTS)))
    assert stale == []
