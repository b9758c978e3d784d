"""The training of every sequence model: one loss over the merged sequence, by hand-written steps.

A training step receives a *list* of micro-batches. Targets are counted over the whole list and over all
ranks before anything is divided, so that accumulation and data parallelism change nothing but speed
(docs/streams.md, section 5). Randomness inside a step (dropout) is drawn from (seed, step, rank), so a
run that was stopped and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning as L
import psutil
import torch
from lightning.pytorch.strategies import ParallelStrategy
from pydantic import Field
from torch import Tensor

from lh_mm.core.config import Config
from lh_mm.core.merge import Kind
from lh_mm.core.streams import StreamBatch
from lh_mm.models.base import SequenceModule
from lh_mm.models.likelihood import HeadSums, head_sums
from lh_mm.nn.groups import parameter_groups
from lh_mm.systems.chunks import chunk_sums, in_chunks
from lh_mm.systems.optim import AverageWeights, OptimConfig
from lh_mm.systems.shard import forget_untouched, is_sharded, shard, touched, whole


class LossWeights(Config):
    """What each head's mean weighs; applied once, in `weighted_loss`."""

    event: float = Field(1.0, ge=0)
    """Weight of the event head."""
    codes: tuple[float, ...] = ()
    """Weight of each codebook's head, first codebook first; empty is 1 for all."""


def weighted_loss(sums: HeadSums, event_count: Tensor, code_count: Tensor, weights: LossWeights) -> Tensor:
    """Each head's mean over its own targets, weighted: the only place where weights are applied.

    Args:
        sums: nats summed over one micro-batch.
        event_count: targets of the event head over all micro-batches and ranks.
        code_count: (A, K), likewise.
        weights: of the heads.
    """
    loss = weights.event * sums.event_nats / event_count.clamp_min(1)
    num_codebooks = sums.code_nats.shape[-1]
    if num_codebooks:
        each = torch.tensor(weights.codes or (1.0,) * num_codebooks, device=loss.device)
        if len(each) != num_codebooks:
            raise ValueError(f"loss.codes should hold {num_codebooks} weights, got {len(each)}")
        loss = loss + (each * sums.code_nats / code_count.clamp_min(1)).sum()
    return loss


class LanguageSystem(L.LightningModule):
    """Loss, optimiser, schedule and average weights around a sequence model."""

    def __init__(
        self,
        model: SequenceModule,
        optim: OptimConfig,
        weights: LossWeights,
        *,
        max_steps: int,
        max_minutes: float | None,
        seed: int,
        peak_flops: float | None = None,
        chunk: int | None = None,
        max_music_h: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.average = AverageWeights(model, optim.ema_decay)
        self.optim_config, self.weights = optim, weights
        self.max_steps, self.max_minutes, self.seed = max_steps, max_minutes, seed
        self.peak_flops = peak_flops  # of one device, see systems/throughput.py
        self.chunk = chunk  # positions read at once, see systems/chunks.py
        self._elapsed_s = 0.0
        self._clock_s: float | None = None
        self._positions = 0
        self.max_music_h = max_music_h
        self._music_s = 0.0

    def configure_model(self) -> None:
        """Share the model between processes, where the strategy has a mesh of them."""
        mesh = self._device_mesh
        if mesh is not None and not is_sharded(self.model):
            shard(self.model, mesh["data_parallel"])
            self.average = AverageWeights(self.model, self.average.decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optim_config.build(parameter_groups(self.model, self.optim_config.weight_decay))

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far, over all resumptions."""
        return self._elapsed_s

    @property
    def music_h(self) -> float:
        """Hours of music that were read so far, by all processes, over all resumptions."""
        return self._music_s / 3600

    @property
    def progress(self) -> float:
        """Share of the budget that is used: of steps, minutes or hours of music, whichever is furthest."""
        used = self.global_step / self.max_steps
        if self.max_minutes is not None:
            used = max(used, self._elapsed_s / 60 / self.max_minutes)
        return used if self.max_music_h is None else max(used, self.music_h / self.max_music_h)

    def on_train_start(self) -> None:
        self._clock_s = time.monotonic()

    def training_step(self, batches: Sequence[StreamBatch], batch_idx: int) -> None:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        lr = self.optim_config.lr_at(self.global_step, self.progress)
        for group in optimizer.param_groups:
            group["lr"] = lr
        event_count, code_count = self._counts(batches)
        world = self.trainer.world_size
        total: HeadSums | None = None
        with self._own_randomness():
            for i, batch in enumerate(batches):
                for sums, more in chunk_sums(self.model, in_chunks(batch, self.chunk)):
                    with self._unsynchronised(more or i + 1 < len(batches)):
                        # Data parallelism averages gradients over ranks; the count is already over all of them.
                        loss = weighted_loss(sums, event_count, code_count, self.weights) * world
                        if is_sharded(self.model):
                            loss = touched(self.model, loss)
                        self.manual_backward(loss, retain_graph=more)
                    detached = HeadSums(*(value.detach() for value in vars(sums).values()))
                    total = detached if total is None else total + detached
        assert total is not None
        if is_sharded(self.model):
            forget_untouched(self.model)
        norm = whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.optim_config.clip_norm))
        if torch.isfinite(norm):
            optimizer.step()
        else:
            self.print(f"step {self.global_step}: gradient norm is {float(norm)}, step skipped")
            optimizer.zero_grad()
            optimizer.step()  # keeps Lightning's step count, without gradients it changes nothing
        optimizer.zero_grad()
        self.average.update(self.model)
        self._log_step(total, lr, norm, batches)

    def _counts(self, batches: Sequence[StreamBatch]) -> tuple[Tensor, Tensor]:
        event_count = torch.zeros((), device=self.device)
        code_count: Tensor = torch.zeros((), device=self.device)
        for batch in batches:
            assert batch.event_target is not None and batch.code_target is not None
            event_count = event_count + (batch.event_target >= 0).sum()
            code_count = code_count + (batch.code_target >= 0).sum((0, 1))
        if self.trainer.world_size > 1:
            event_count = self.trainer.strategy.reduce(event_count, reduce_op="sum")
            code_count = self.trainer.strategy.reduce(code_count, reduce_op="sum")
        return event_count, code_count

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed((self.seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)
            yield

    def _unsynchronised(self, more_to_come: bool) -> AbstractContextManager[None]:
        strategy = self.trainer.strategy
        if more_to_come and isinstance(strategy, ParallelStrategy) and self.trainer.world_size > 1:
            return strategy.block_backward_sync()
        return nullcontext()

    def _log_step(self, sums: HeadSums, lr: float, norm: Tensor, batches: Sequence[StreamBatch]) -> None:
        seconds = max(self._lap(), 1e-9)
        num_positions = sum(batch.kind.numel() for batch in batches)
        self._positions += num_positions * self.trainer.world_size
        self._music_s += self._over_ranks(sum(music_s(batch, self.model.spec.rate_hz) for batch in batches))
        values = {
            **_by_head(sums, "train"),
            "lr": lr,
            "grad_norm": float(norm),
            "positions_per_s": num_positions * self.trainer.world_size / seconds,
            "memory_gb": _memory_gb(self.device),
            "elapsed_s": self._elapsed_s,
            "music_h": self.music_h,
        }
        if self.peak_flops is not None:  # forward and backward are three times the forward pass
            needed = sum(3 * b.kind.numel() * self.model.flops_per_position(b.kind.shape[1]) for b in batches)
            values["mfu"] = needed / seconds / self.peak_flops
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._write(values)
        self.log("loss", values["train/nats_total"], prog_bar=True, logger=False)
        if self.max_minutes is not None or self.max_music_h is not None:
            over = self.progress >= 1
            if self.trainer.world_size > 1:  # clocks differ: one rank that goes on would wait for the others for ever
                over = self.trainer.strategy.reduce_boolean_decision(over, all=False)
            self.trainer.should_stop = self.trainer.should_stop or over

    def _over_ranks(self, value: float) -> float:
        """The sum over processes."""
        if self.trainer.world_size == 1:
            return value
        total = torch.tensor(value, device=self.device)
        return float(self.trainer.strategy.reduce(total, reduce_op="sum"))

    def _write(self, values: dict[str, float]) -> None:
        """A row to every log, now.

        Lightning's `log_dict` writes behind the step, after its checkpoint may have been
        written, and counts steps of its own, one too many in a resumed run.
        """
        for logger in self.loggers:
            logger.log_metrics(values, self.global_step)

    def _lap(self) -> float:
        """Seconds since the last lap; they count towards the budget of minutes."""
        now = time.monotonic()
        seconds, self._clock_s = now - (self._clock_s or now), now
        self._elapsed_s += seconds
        return seconds

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The model with its averaged weights, in evaluation mode, for the time of the block."""
        raw = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        training = self.model.training
        self.model.load_state_dict(self.average.state_of(self.model))
        self.model.eval()
        try:
            yield
        finally:
            self.model.load_state_dict(raw)
            self.model.train(training)

    def on_validation_epoch_start(self) -> None:
        self._valid: HeadSums | None = None
        self._averaged = self.averaged_weights()
        self._averaged.__enter__()

    def validation_step(self, batches: Sequence[StreamBatch], batch_idx: int) -> None:
        for batch in batches:
            sums = head_sums(self.model, batch)
            self._valid = sums if self._valid is None else self._valid + sums

    def on_validation_epoch_end(self) -> None:
        self._averaged.__exit__(None, None, None)
        self._lap()  # validation is not the next step's time
        if self._valid is None:
            return
        sums = self._valid
        if self.trainer.world_size > 1:
            reduce = self.trainer.strategy.reduce
            sums = HeadSums(*(reduce(value.float(), reduce_op="sum") for value in vars(sums).values()))
        self._write(_by_head(sums, "valid"))
        self.log("valid_nats", _by_head(sums, "valid")["valid/nats_total"], prog_bar=True, logger=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["lh_progress"] = {
            "elapsed_s": self._elapsed_s, "positions": self._positions, "music_s": self._music_s,
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._elapsed_s = checkpoint["lh_progress"]["elapsed_s"]
        self._positions = checkpoint["lh_progress"]["positions"]
        self._music_s = checkpoint["lh_progress"].get("music_s", 0.0)  # of checkpoints from before it was counted


def music_s(batch: StreamBatch, rate_hz: float) -> float:
    """Seconds of music in a batch: of each document from its first slot to its last, on all rows."""
    rows, documents = batch.kind.shape[0], batch.header.roles.shape[1]
    ends = batch.clock.new_full((rows, documents + 1), -1)  # padding is a document of its own
    inside = batch.document.clamp(max=documents)
    inside = torch.where(batch.kind == Kind.PAD, documents, inside)
    ends.scatter_reduce_(1, inside, batch.clock, "amax")
    return float((ends[:, :documents] + 1).sum()) / rate_hz


def _by_head(sums: HeadSums, prefix: str) -> dict[str, float]:
    """Nats per target of each head, and their plain sum over heads."""
    values = {}
    if sums.event_count > 0:
        values[f"{prefix}/nats_event"] = float(sums.event_nats / sums.event_count)
    code_nats, code_count = sums.code_nats.sum(0), sums.code_count.sum(0)
    for k in range(code_nats.shape[-1] if code_nats.ndim else 0):
        if code_count[k] > 0:
            values[f"{prefix}/nats_code{k}"] = float(code_nats[k] / code_count[k])
    values[f"{prefix}/nats_total"] = sum(values.values())
    return values


def _memory_gb(device: torch.device) -> float:
    """Memory: the device's peak, or this process's own where there is no device."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return float(psutil.Process().memory_info().rss / 2**30)
