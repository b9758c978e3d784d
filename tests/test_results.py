"""What is committed as a result is what today's code makes of it, and of experiments as they are today."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lh_mm.cli import main as cli
from lh_mm.core.assets import asset
from lh_mm.core.files import read_json
from lh_mm.run.compare import settings_word
from lh_mm.run.compare_folder import finished_runs
from lh_mm.run.experiment import load_experiment

RESULTS = Path("benchmarks/results/symbolic")
EXPERIMENTS = asset("experiments/baseline/symbolic")


def test_the_tables_of_notes_alone_are_made_again_by_the_command_of_their_page(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (repository / "docs" / "symbolic.md").read_text(encoding="utf-8")
    (command,) = (line for line in page.splitlines() if line.startswith("lh ") and "results/symbolic/runs" in line)
    words = shlex.split(command)
    words[words.index("--out") + 1] = str(tmp_path)
    monkeypatch.chdir(repository)
    result = CliRunner().invoke(cli.app, words[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert read_json(tmp_path / "table.json") == read_json(repository / RESULTS / "table.json")
    assert (tmp_path / "table.md").read_text() == (repository / RESULTS / "table.md").read_text()


def test_every_row_is_of_the_experiment_as_it_is(repository: Path) -> None:
    stale = []
    for file in sorted(EXPERIMENTS.glob("*.yaml")):
        wanted = load_experiment(file).config
        runs = finished_runs(repository / RESULTS / "runs", wanted.name)
        assert runs, f"{file} has no row: lh compare --train"
        for run in runs:
            tree = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
            tree["trainer"]["precision"] = wanted.trainer.precision  # `auto` became what the machine can do
            if settings_word(tree) != settings_word(wanted.model_dump(mode="json")):
                stale.append(str(run.relative_to(repository)))
    assert stale == []


def test_the_longer_training_is_a_row_but_for_its_hours(repository: Path) -> None:
    (run,) = (repository / RESULTS / "long" / "jsb-hybrid").iterdir()
    tree = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
    wanted = load_experiment(EXPERIMENTS / "jsb_hybrid.yaml").config
    hours, tree["trainer"]["max_music_h"] = tree["trainer"]["max_music_h"], wanted.trainer.max_music_h
    tree["trainer"]["precision"] = wanted.trainer.precision
    assert settings_word(tree) == settings_word(wanted.model_dump(mode="json"))
    evaluation = read_json(run / "evaluation.json")
    nats = evaluation["tokens"]["nats_per_token"]["value"]
    for page in ("docs/symbolic.md", "experiments/README.md"):
        text = (repository / page).read_text(encoding="utf-8")
        assert f"{nats:.3f}".removeprefix("0") in text, page
        assert f"{hours:g}" in text, page
