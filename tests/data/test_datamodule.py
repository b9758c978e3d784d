"""The order of data is a counter: workers, ranks, accumulation and resuming change nothing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import lightning as L
import pytest
import torch

from lh_mm.core.streams import StreamBatch
from lh_mm.data.datamodule import MusicData, _Steps
from lh_mm.data.mixture import MergedConfig, MergedRows
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.tasks import AudioToMidi, Infill, Joint


@pytest.fixture(scope="module")
def rows(smoke: PreparedSet) -> MergedRows:
    return MergedConfig(tasks=(Joint(), AudioToMidi(), Infill()), crop_s=2.0).build(smoke)


def equal(one: StreamBatch, two: StreamBatch) -> bool:
    pairs = [(getattr(one, name), getattr(two, name)) for name in vars(one) if name != "header"]
    return all(torch.equal(a, b) if a is not None and b is not None else a is b for a, b in pairs)


def ids(batches: list[StreamBatch]) -> list[list[int]]:
    """Rows without their padding, in order."""
    return [row[row >= 0].tolist() for batch in batches for row in batch.event_id]


def test_resuming_goes_on_where_training_stopped(rows: MergedRows) -> None:
    whole = list(islice(MusicData(rows, batch_size=2, accumulate=2).train_dataloader(), 5))
    stopped = MusicData(rows, batch_size=2, accumulate=2)
    stopped.steps_taken = 3
    resumed = MusicData(rows, batch_size=2, accumulate=2)
    resumed.load_state_dict(stopped.state_dict())
    rest = list(islice(resumed.train_dataloader(), 2))
    assert all(equal(a, b) for x, y in zip(whole[3:], rest, strict=True) for a, b in zip(x, y, strict=True))
    assert not equal(whole[0][0], whole[1][0])


def test_a_resume_that_would_change_the_order_is_refused(rows: MergedRows) -> None:
    state = MusicData(rows, batch_size=2, seed=1).state_dict()
    with pytest.raises(ValueError, match=r"data\.seed was 1 in the checkpoint and is 2 now"):
        MusicData(rows, batch_size=2, seed=2).load_state_dict(state)
    with pytest.raises(ValueError, match=r"data\.rows_per_step was 2 in the checkpoint and is 6 now"):
        MusicData(rows, batch_size=3, accumulate=2, seed=1).load_state_dict(state)


def steps(rows: MergedRows, batch_size: int, accumulate: int, rank: int, world_size: int) -> _Steps:
    return _Steps(
        rows, split="train", seed=0, first=0, count=None, batch_size=batch_size, accumulate=accumulate, rank=rank,
        world_size=world_size,
    )  # fmt: skip


def test_ranks_and_accumulation_divide_the_same_rows(rows: MergedRows) -> None:
    for step in (0, 3):
        whole = sorted(ids(steps(rows, 8, 1, 0, 1).step(step)))
        accumulated = sorted(ids(steps(rows, 2, 4, 0, 1).step(step)))
        ranks = sorted(row for rank in range(2) for row in ids(steps(rows, 2, 2, rank, 2).step(step)))
        assert whole == accumulated == ranks


@pytest.mark.slow
def test_workers_make_the_same_batches(rows: MergedRows) -> None:
    alone = list(islice(MusicData(rows, batch_size=2).train_dataloader(), 5))
    shared = list(islice(MusicData(rows, batch_size=2, workers=2).train_dataloader(), 5))
    assert all(equal(a[0], b[0]) for a, b in zip(alone, shared, strict=True))


def test_nothing_global_is_drawn(rows: MergedRows) -> None:
    before = torch.random.get_rng_state()
    next(iter(MusicData(rows, batch_size=1).train_dataloader()))
    assert torch.equal(before, torch.random.get_rng_state())


def test_validation_is_the_same_every_time(rows: MergedRows) -> None:
    data = MusicData(rows, batch_size=2, valid_batches=3)
    first, second = (list(data.val_dataloader()) for _ in range(2))
    assert len(first) == 3
    assert all(equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert MusicData(rows, batch_size=2, valid_batches=0).val_dataloader() == []


@pytest.mark.parametrize("setting", ["batch_size", "accumulate"])
def test_settings_that_make_no_batch_are_refused(rows: MergedRows, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} should be 1 or more, got 0"):
        MusicData(rows, **{"batch_size": 1, setting: 0})


class _Listener(L.LightningModule):
    """A model that only remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[list[int]]] = []
        self.automatic_optimization = False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batches: list[StreamBatch], batch_idx: int) -> None:
        self.seen.append(ids(batches))
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.step()

    def validation_step(self, batches: list[StreamBatch], batch_idx: int) -> None:
        assert len(batches) == 1


def trainer(folder: Path, max_steps: int) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder, max_steps=max_steps, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=2,
        check_val_every_n_epoch=None, use_distributed_sampler=False,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_a_trainers_checkpoint_holds_the_order(rows: MergedRows, tmp_path: Path) -> None:
    """The counter is right in Lightning's own hands, which fetch ahead and validate in between."""

    def data() -> MusicData:
        return MusicData(rows, batch_size=2, accumulate=2, valid_batches=2)

    whole = _Listener()
    trainer(tmp_path, 5).fit(whole, datamodule=data())
    first, second = _Listener(), _Listener()
    stopped = trainer(tmp_path, 3)
    stopped.fit(first, datamodule=data())
    stopped.save_checkpoint(tmp_path / "stopped.ckpt")
    trainer(tmp_path, 5).fit(second, datamodule=data(), ckpt_path=tmp_path / "stopped.ckpt")
    assert len(whole.seen) == 5 and first.seen == whole.seen[:3]
    assert second.seen == whole.seen[3:]
