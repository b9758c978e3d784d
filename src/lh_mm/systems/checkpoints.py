"""Checkpoints that survive a pulled plug: written beside, then renamed; read without unpickling code."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but a file under its final name is always whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        # Plain tensors and values only, whoever wrote the file.
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)


class SaveLast(Callback):
    """`last.ckpt` every so many steps and at the end.

    Where a step is validated it is saved behind that, so a process that is killed at any time leaves a log that holds
    every row up to its checkpoint: those of a step are written within the step (`systems/language.py`).
    """

    def __init__(self, folder: Path, every_steps: int) -> None:
        self.path, self.every_steps = folder / "last.ckpt", every_steps
        self._saved_at = -1

    def _save(self, trainer: L.Trainer) -> None:
        if trainer.global_step != self._saved_at:
            self._saved_at = trainer.global_step
            trainer.save_checkpoint(self.path)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        every = int(trainer.val_check_batch or 0)
        validates = sum(trainer.num_val_batches) > 0 and every > 0 and trainer.global_step % every == 0
        if trainer.global_step % self.every_steps == 0 and not validates:
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.global_step % self.every_steps == 0:
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._save(trainer)


class FinishStep(Callback):
    """Ctrl-C or SIGTERM ends a training after the step it is in, so that what is saved is a whole step.

    A second signal ends it at once; the last checkpoint stays whole either way.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may set handlers (a notebook's worker cannot be interrupted this way)

        def stop(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            trainer.should_stop = True

        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, stop)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
