"""The trainer's settings: the few that we support and check, not everything Lightning could take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import ModelParallelStrategy
from pydantic import Field, model_validator

from lh_mm.core.config import Config
from lh_mm.systems.checkpoints import AtomicCheckpointIO, FinishStep, SaveLast

Precision = Literal["auto", "fp32", "bf16"]


class TrainerConfig(Config):
    """How long, on what, how often."""

    max_steps: int = Field(1000, ge=1)
    """Optimiser steps; the cosine schedule ends here."""
    max_minutes: float | None = Field(None, gt=0)
    """Budget of time; the schedule ends with whichever of both is used up first. Runs with it do not repeat exactly."""
    max_music_h: float | None = Field(None, gt=0)
    """Budget of music that is read, in hours, by all processes: equal for models whose tokens are not alike."""
    batch_size: int = Field(4, ge=1)
    """Rows of one micro-batch on one device."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches of one step; losses are divided by the targets of all of them."""
    precision: Precision = "auto"
    """`bf16` is autocast over fp32 weights; `auto` takes it where it measures faster, and the run remembers which."""
    recompute: bool = False
    """Layers are computed again in the backward pass: a third slower, with the activations of one layer at a time."""
    chunk: int | None = Field(None, ge=64)
    """Positions read at once: longer rows are read in chunks that hand on their state. Predictions hear everything
    before them, gradients end at a chunk's beginning, memory is that of one chunk."""
    devices: int = Field(1, ge=1)
    """Processes; more than one is data parallel."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """What several processes hold: each a whole model (`ddp`), or each a share of it (`fsdp`, for models that do not
    fit one device)."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of one process, by default all cores."""
    workers: int = Field(0, ge=0)
    """Processes that make batches; 0 makes them in the training process."""
    valid_every: int = Field(250, ge=1)
    """Steps between validations."""
    valid_batches: int = Field(8, ge=1)
    """Batches of one validation, always the same ones."""
    checkpoint_every: int = Field(250, ge=1)
    """Steps between checkpoints."""
    samples_every: int | None = Field(None, ge=1)
    """Steps between logged samples (sound and piano roll); none for never."""
    log_every: int = Field(10, ge=1)
    """Steps between logged metrics."""
    seed: int = Field(0, ge=0)
    """Of weights, data order and dropout."""

    @model_validator(mode="after")
    def _samples_need_a_whole_model(self) -> TrainerConfig:
        if self.strategy == "fsdp" and self.samples_every is not None:
            raise ValueError("samples_every: one process makes the samples, and with strategy fsdp none has the model")
        return self

    def build(self, run_dir: Path, loggers: Sequence[Logger], callbacks: Sequence[Callback]) -> L.Trainer:
        """A Lightning trainer that checkpoints, shows progress and stops between steps when interrupted.

        Args:
            run_dir: where `checkpoints/` goes.
            loggers: of the run.
            callbacks: further ones.
        """
        return L.Trainer(
            default_root_dir=run_dir,
            max_steps=self.max_steps,
            accelerator=self.accelerator,
            devices=self.devices,
            strategy=self._strategy(),
            precision="bf16-mixed" if self.precision == "bf16" else "32-true",
            logger=list(loggers),
            log_every_n_steps=self.log_every,
            val_check_interval=self.valid_every,
            check_val_every_n_epoch=None,
            limit_val_batches=self.valid_batches,
            num_sanity_val_steps=0,
            enable_checkpointing=False,  # SaveLast does it; Lightning's own deletes and renames
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            plugins=[AtomicCheckpointIO()],
            callbacks=[SaveLast(run_dir / "checkpoints", self.checkpoint_every), FinishStep(), *callbacks],
        )

    def _strategy(self) -> str | ModelParallelStrategy:
        if self.devices == 1:
            return "auto"
        if self.strategy == "fsdp":
            return ModelParallelStrategy(
                data_parallel_size=self.devices, tensor_parallel_size=1, save_distributed_checkpoint=False
            )
        return "ddp_find_unused_parameters_true"  # the front end has no gradient in a step without given audio


def faster_precision(device: str = "cpu") -> Literal["fp32", "bf16"]:
    """Which of fp32 and bf16 multiplies matrices faster here: some CPUs have no native bf16."""
    if device != "cpu":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype)
        for _ in range(3):
            a @ a
        start = time.perf_counter()
        for _ in range(20):
            a @ a
        seconds[dtype] = time.perf_counter() - start
    return "bf16" if seconds[torch.bfloat16] < 0.75 * seconds[torch.float32] else "fp32"


class StepProgress(Callback):
    """One line of progress: steps of those that the budget will allow, losses, time left."""

    def __init__(self, label: str) -> None:
        self.label = label

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        from lh_mm.core.log import progress

        self._context = progress(self.label, trainer.max_steps, "steps")
        self._progress = self._context.__enter__()
        self._progress.resume(trainer.global_step)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
        metrics = trainer.callback_metrics
        notes = [
            f"{word} {float(metrics[name]):.3f}"
            for word, name in (("loss", "loss"), ("valid", "valid_nats"))
            if name in metrics
        ]
        used = getattr(module, "progress", 0.0)
        if used > trainer.global_step / trainer.max_steps:  # minutes or hours of music end before the steps
            self._progress.total = max(trainer.global_step, round(trainer.global_step / used))
        self._progress.advance(1, ", ".join(notes))

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._context.__exit__(None, None, None)

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "_context"):
            self._context.__exit__(None, None, None)
