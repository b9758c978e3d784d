"""Batches for the trainer: endless, deterministic, resumable; the only file here that knows Lightning.

A training step takes a list of micro-batches. Row n of step s is row `s * rows_per_step + n` of the source, whoever
makes it: workers only divide the steps, ranks divide the rows of a step, accumulation divides the rows of a rank.
So the whole state of the data order is the number of steps taken, which checkpoints carry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lh_mm.core.streams import StreamBatch, collate
from lh_mm.data.rows import RowSource
from lh_mm.data.splits import Split


class _Steps(IterableDataset[list[StreamBatch]]):
    """Steps `first`, `first + 1`, ... of one rank, shared out to workers in turn (DataLoader asks them in turn)."""

    def __init__(
        self,
        source: RowSource,
        *,
        split: Split,
        seed: int,
        first: int,
        count: int | None,
        batch_size: int,
        accumulate: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.source, self.split, self.seed = source, split, seed
        self.first, self.count = first, count
        self.batch_size, self.accumulate = batch_size, accumulate
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[list[StreamBatch]]:
        worker = get_worker_info()
        step, stride = (self.first, 1) if worker is None else (self.first + worker.id, worker.num_workers)
        while self.count is None or step < self.count:
            yield self.step(step)
            step += stride

    def step(self, step: int) -> list[StreamBatch]:
        """The micro-batches of one step for this rank."""
        batches = []
        for micro in range(self.accumulate):
            first = ((step * self.accumulate + micro) * self.world_size + self.rank) * self.batch_size
            rows = [[self._row(first + i)] for i in range(self.batch_size)]
            batches.append(collate(rows, self.source.spec))
        return batches

    def _row(self, index: int) -> Any:
        if self.split == "train":
            return self.source.train_row(self.seed, index)
        return self.source.valid_row(index, self.split)


class MusicData(L.LightningDataModule):
    """Training and validation batches of one row source.

    Args:
        source: rows.
        batch_size: rows of a micro-batch on one device.
        accumulate: micro-batches of one optimiser step.
        valid_batches: batches of one validation, always the same ones, shared out over ranks.
        workers: processes that make batches; 0 makes them in the training process.
        seed: of the data order.

    Raises:
        ValueError: a setting that makes no batch.
    """

    def __init__(
        self,
        source: RowSource,
        *,
        batch_size: int,
        accumulate: int = 1,
        valid_batches: int = 8,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("accumulate", accumulate, 1),
            ("valid_batches", valid_batches, 0),
            ("workers", workers, 0),
        ):
            if value < least:
                raise ValueError(f"{name} should be {least} or more, got {value}")
        self.source, self.seed = source, seed
        self.batch_size, self.accumulate = batch_size, accumulate
        self.valid_batches, self.workers = valid_batches, workers
        self.steps_taken = 0

    def train_dataloader(self) -> DataLoader[list[StreamBatch]]:
        """Endless; begins with the step after the last one taken."""
        return self._loader("train", first=self.steps_taken, count=None, accumulate=self.accumulate)

    def val_dataloader(self) -> DataLoader[list[StreamBatch]] | list[Any]:
        """The fixed batches; none where the set has nothing to validate on."""
        if not self.valid_batches or not self.source.has("valid"):
            return []
        return self._loader("valid", first=0, count=-(-self.valid_batches // self._world_size), accumulate=1)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Counts the steps that training took; batches that a worker made ahead are not counted."""
        if self.trainer is not None and self.trainer.training:
            self.steps_taken += 1
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return [part.to(device, non_blocking=True) for part in batch]

    def state_dict(self) -> dict[str, Any]:
        return {"steps_taken": self.steps_taken, "rows_per_step": self._rows_per_step, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the last step.

        Raises:
            ValueError: the run was made with another seed or other rows a step, so its order cannot be gone on with.
        """
        for name, value in (("seed", self.seed), ("rows_per_step", self._rows_per_step)):
            if state_dict[name] != value:
                raise ValueError(f"data.{name} was {state_dict[name]} in the checkpoint and is {value} now")
        self.steps_taken = int(state_dict["steps_taken"])

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    @property
    def _rows_per_step(self) -> int:
        return self.batch_size * self.accumulate * self._world_size

    def _loader(self, split: Split, *, first: int, count: int | None, accumulate: int) -> DataLoader[list[StreamBatch]]:
        steps = _Steps(
            self.source,
            split=split,
            seed=self.seed,
            first=first,
            count=count,
            batch_size=self.batch_size,
            accumulate=accumulate,
            rank=self.trainer.global_rank if self.trainer is not None else 0,
            world_size=self._world_size,
        )
        workers = self.workers if split == "train" else 0  # validation is short, and processes take seconds to start
        return DataLoader(
            steps,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread if workers else None,
            generator=torch.Generator(),  # DataLoader draws a seed; not from the global generator
        )


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
