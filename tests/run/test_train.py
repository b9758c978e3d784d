"""A training can be stopped, resumed, repeated and begun from a bundle; mistakes in its settings never pass."""

from __future__ import annotations

import signal
from pathlib import Path

import lightning
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lh_mm.core.config import ConfigError
from lh_mm.core.files import read_json
from lh_mm.run import train as verb
from lh_mm.run.bundle import Bundle
from lh_mm.run.train import plan, train, train_once
from lh_mm.systems.tracking import CsvLog, read_metrics
from lh_mm.systems.trainer import StepProgress

TIMES = ("positions_per_s", "memory_gb", "elapsed_s", "mfu")


def numbers(run: Path) -> list[tuple[int, str, float]]:
    """What a run logged, less what depends on the clock."""
    return [row for row in read_metrics(run / "metrics.csv") if row[1] not in TIMES]


class InterruptAt(StepProgress):
    """Presses Ctrl-C in the middle of a training."""

    step = 3

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: object) -> None:
        super().on_train_batch_end(trainer, module)
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


def test_a_run_leaves_what_it_promises(tiny_run: Path) -> None:
    for name in ("experiment.yaml", "environment.json", "metrics.csv", "checkpoints/last.ckpt", "bundle/bundle.json"):
        assert (tiny_run / name).is_file(), name
    names = {name for _, name, _ in read_metrics(tiny_run / "metrics.csv")}
    assert {"train/nats_event", "train/nats_code0", "valid/nats_total", "lr", *TIMES} <= names
    assert read_json(tiny_run / "environment.json")["hardware"]["cores"] >= 1
    training = Bundle.load(tiny_run / "bundle").manifest["training"]
    assert training["steps"] == 6
    assert training["synthetic"]
    assert not list(tiny_run.rglob("*.tmp"))


def test_stopped_and_resumed_equals_never_stopped(
    tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "StepProgress", InterruptAt)
    stopped = train("demo", tiny, runs=tmp_path)
    monkeypatch.undo()
    assert not (stopped / "bundle").exists()
    assert max(step for step, _, _ in numbers(stopped)) < 6
    with pytest.raises(ValueError, match="a run of 'demo', not of demo_attention"):
        train("demo_attention", (), resume=str(stopped))
    train(None, (), resume=str(stopped))
    once, twice = (load_file(run / "bundle" / "model.safetensors") for run in (tiny_run, stopped))
    assert once.keys() == twice.keys()
    assert all((once[name] == twice[name]).all() for name in once)
    assert numbers(stopped) == numbers(tiny_run)


def test_hours_of_music_end_a_training_and_the_progress_knows(
    tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, int | None]] = []

    class Watched(StepProgress):
        def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: object) -> None:
            super().on_train_batch_end(trainer, module)
            shown.append((self._progress.done, self._progress.total))

    monkeypatch.setattr(verb, "StepProgress", Watched)
    heard = [value for _, name, value in read_metrics(tiny_run / "metrics.csv") if name == "music_h"]
    run = train("demo", [*tiny, f"trainer.max_music_h={2.5 * heard[-1] / 6}"], runs=tmp_path)
    training = Bundle.load(run / "bundle").manifest["training"]
    assert training["steps"] < 6
    assert [done for done, _ in shown] == list(range(1, training["steps"] + 1))
    assert shown[-1][1] == training["steps"]
    assert shown[0][1] is not None
    assert 1 <= shown[0][1] <= 6


def test_frozen_parts_stay_as_they_were(tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path) -> None:
    options = [*tiny, f"init_from={tiny_run}", "freeze=[layers, frontend.mix.weight]", "optim.ema_decay=0"]
    child = train("demo", options, runs=tmp_path)
    before, after = (load_file(run / "bundle" / "model.safetensors") for run in (tiny_run, child))
    moved = {name for name in before if not (before[name] == after[name]).all()}
    assert "event_head.weight" in moved
    assert not [name for name in moved if name.startswith("layers.") or name == "frontend.mix.weight"]
    with pytest.raises(ConfigError, match=r"no part 'layer'; it has .*layers"):
        train("demo", [*tiny, "freeze=[layer]"], runs=tmp_path)


def test_adapters_learn_alone_and_are_shipped_in_the_weights(
    tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path
) -> None:
    options = [*tiny, f"init_from={tiny_run}", "lora={rank: 2}", "optim.lr=0.05"]
    child = train("demo", options, runs=tmp_path)
    before, after = (load_file(run / "bundle" / "model.safetensors") for run in (tiny_run, child))
    assert before.keys() == after.keys()
    moved = {name for name in before if not (before[name] == after[name]).all()}
    assert moved
    assert all(name.endswith(("in_proj.weight", "out_proj.weight")) for name in moved)
    change = after["layers.0.in_proj.weight"] - before["layers.0.in_proj.weight"]
    assert torch.linalg.matrix_rank(change) == 2
    bundles = [Bundle.load(run / "bundle") for run in (tiny_run, child)]
    assert bundles[0].manifest["num_parameters"] == bundles[1].manifest["num_parameters"]

    with pytest.raises(ConfigError, match=r"lora: .*init_from"):
        train("demo", [*tiny, "lora={rank: 2}"], runs=tmp_path)
    with pytest.raises(ConfigError, match=r"no linear layer is called 'gate'; there are .*in_proj"):
        train("demo", [*tiny, f"init_from={tiny_run}", "lora={parts: [gate]}"], runs=tmp_path)


def test_chunks_change_gradients_and_not_what_is_predicted(
    tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path
) -> None:
    chunked = train("demo", [*tiny, "trainer.chunk=64", "trainer.max_steps=1", "sequence.crop_s=4"], runs=tmp_path)
    whole = train("demo", [*tiny, "trainer.max_steps=1", "sequence.crop_s=4"], runs=tmp_path)
    first = [{name: value for _, name, value in numbers(run) if name.startswith("train/")} for run in (chunked, whole)]
    assert first[0] == pytest.approx(first[1], rel=0.05)  # dropout differs, the weights do not yet


def test_an_exact_repeat_and_another_seed(tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path) -> None:
    other = train("demo", [*tiny, "trainer.seed=1", "trainer.max_steps=2"], runs=tmp_path)
    first = [row for row in numbers(tiny_run) if row[0] == 1 and row[1].startswith("train/")]
    assert [row for row in numbers(other) if row[0] == 1 and row[1].startswith("train/")] != first


def test_a_finished_training_is_not_done_again(tiny: tuple[str, ...], tiny_run: Path) -> None:
    assert train_once("demo", tiny, tiny_run.parents[1]) == tiny_run


def test_training_begins_with_a_bundle(tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path) -> None:
    small = [o for o in tiny if not o.startswith("trainer.max_steps")]
    options = [*small, f"init_from={tiny_run}", "trainer.max_steps=1", "optim.lr=1e-12", "optim.ema_decay=0"]
    child = train("demo", options, runs=tmp_path)
    before, after = (load_file(run / "bundle" / "model.safetensors") for run in (tiny_run, child))
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    assert yaml.safe_load((child / "experiment.yaml").read_text())["init_from"] == str(tiny_run)


def test_a_bundle_of_another_model_is_refused(tiny: tuple[str, ...], tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model: differs from the bundle"):
        train("demo", [*tiny, f"init_from={tiny_run}", "model.dim=64"], runs=tmp_path)


def test_a_plan_runs_nothing(tiny: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = plan("demo", tiny)
    for word in ("parameters", "memory", "tokens", "time"):
        assert word in text
    assert not list(tmp_path.iterdir())


def test_both_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train("demo", ["modle.dim=3", "optim.lr=abc"], runs=tmp_path)
    assert len(caught.value.problems) == 2
    assert not list(tmp_path.iterdir())


def test_weights_and_biases_offline_leaves_its_folder(tiny: tuple[str, ...], tmp_path: Path) -> None:
    run = train("demo", [*tiny, "trainer.max_steps=2", "tracking.wandb=offline"], runs=tmp_path)
    assert list(run.glob("wandb/offline-run-*/*.wandb"))


def test_a_log_that_was_cut_in_the_middle_of_a_line_is_read_and_gone_on_with(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "metrics.csv")
    for step in (1, 2, 3):
        log.log_metrics({"a": step / 3, "b": 1.0}, step)
    whole = log.path.read_text()
    for cut in range(len(whole.splitlines()[0]) + 2, len(whole)):
        log.path.write_text(whole[:cut])
        rows = read_metrics(log.path)
        assert rows == [(1, "a", 1 / 3), (1, "b", 1.0), (2, "a", 2 / 3), (2, "b", 1.0), (3, "a", 1.0)][: len(rows)]
    log.path.write_text(whole[:-3])
    log.forget_after(2)
    assert [row[0] for row in read_metrics(log.path)] == [1, 1, 2, 2]
    log.forget_after(-1)
    assert read_metrics(log.path) == []
