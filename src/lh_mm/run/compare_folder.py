"""The runs of a folder of experiments, and the groups in which they may stand side by side.

Tokens that hold other things (a grid or 10 ms, loudness or none, the pitch classes of ten instruments) have other
likelihoods for the same music, so runs are compared in groups of one corpus and one kind of tokens. Groups are gathered
in tables: tokens on a grid of beats, performance tokens in seconds, and merged sequences with sound.

What a table was made of is kept beside it, without the weights: `lh compare FOLDER --runs OUT/runs` makes it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lh_mm.core.files import read_json, write_atomic, write_json
from lh_mm.core.log import console
from lh_mm.run.evaluate import EVALUATION
from lh_mm.run.experiment import load_experiment
from lh_mm.run.runs import BUNDLE, find_run
from lh_mm.run.train import train

_KEPT = ("name", "train/nats_total", "valid/nats_total")
"""Of a run's metrics: the heading, and curves that a comparison draws."""

TABLES = {"grid": "Tokens on a grid of beats", "performance": "Performance tokens, in seconds", "merged": "With sound"}


def runs_of_folder(folder: Path, runs: Path, train_missing: bool) -> list[str]:
    """The newest finished run of each seed of each experiment in a folder, in the order of the files.

    Args:
        folder: of experiments.
        runs: where runs are kept.
        train_missing: train an experiment that has none; otherwise it is named and left out.

    Raises:
        ValueError: no experiment there has a run.
    """
    found: list[str] = []
    missing = []
    for file in sorted(folder.rglob("*.yaml")):
        name = load_experiment(file).config.name
        own = finished_runs(runs, name)
        if not own and train_missing:
            own = [train(str(file), (), runs=runs)]
        found += [str(run) for run in own]
        missing += [] if own else [str(file)]
    if missing:
        console().print(f"without a finished run, left out (--train trains them): {', '.join(missing)}")
    if not found:
        raise ValueError(f"no experiment in {folder} has a finished run in {runs}; --train trains them")
    return found


def finished_runs(runs: Path, name: str) -> list[Path]:
    """The newest run of each seed that has a bundle, or its measures."""
    by_seed: dict[int, Path] = {}
    for path in sorted((runs / name).glob("*")):
        done = (path / BUNDLE / "bundle.json").is_file() or (path / EVALUATION).is_file()
        if done and (path / "experiment.yaml").is_file():
            tree = yaml.safe_load((path / "experiment.yaml").read_text(encoding="utf-8"))
            by_seed[int(tree["trainer"]["seed"])] = path
    return [by_seed[seed] for seed in sorted(by_seed)]


def expanded(words: Sequence[str], runs: Path, train_missing: bool) -> list[str]:
    """Runs as they are, folders of experiments as their runs."""
    found: list[str] = []
    for word in words:
        path = Path(word)
        is_folder = path.is_dir() and not (path / "experiment.yaml").is_file() and any(path.rglob("*.yaml"))
        found += runs_of_folder(path, runs, train_missing) if is_folder else [str(find_run(word, runs))]
    return found


def group_of(evaluation: Mapping[str, Any], sequence: Mapping[str, Any]) -> tuple[str, str]:
    """The table and the group of a run, as (`grid`, `pop909 test, remi`).

    Args:
        evaluation: its measures.
        sequence: settings of its experiment's sequence.
    """
    kind = evaluation["sequence"]
    table = "merged" if kind == "merged" else "performance" if kind == "performance" else "grid"
    told = ", told structure" if sequence.get("structure") else ""
    return table, f"{evaluation['data'].split('/')[0]} {evaluation['split']}, {kind}{told}"


def keep_record(run: Path, name: str, out: Path) -> None:
    """Write settings, measures and curves of the likelihood of a run to `out/runs/<name>/<id>`.

    The command line and a change that was not committed are left out; paths that the settings name stay.

    Args:
        run: its folder; one that is already there stays as it is.
        name: of its experiment.
        out: the folder of the tables.
    """
    record = out / "runs" / name / run.name
    if record.resolve() == run.resolve():
        return
    record.mkdir(parents=True, exist_ok=True)
    with write_atomic(record / "experiment.yaml") as target:
        target.write((run / "experiment.yaml").read_bytes())
    if (run / "metrics.csv").is_file():
        lines = (run / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        with write_atomic(record / "metrics.csv", "w") as curves:
            curves.writelines(line for line in lines if [*line.split(","), ""][1] in _KEPT)
    evaluation = read_json(run / EVALUATION)
    about = evaluation.get("environment", {})
    about.pop("command", None)
    if about.get("git"):
        about["git"] = {key: about["git"][key] for key in ("commit", "changed")}
    write_json(record / EVALUATION, evaluation)
