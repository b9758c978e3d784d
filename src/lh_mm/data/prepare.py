"""From a recipe to a prepared set on disk: idempotent, resumable, in parallel, never half.

The set's folder is named by a fingerprint of everything its content depends on, so nothing stale is ever
reused. Work is cut into shards; each is written whole by one process, and a run that was stopped by Ctrl-C, a
full disk or a power cut goes on at the shards that are missing. The manifest is put together at the end and
`DONE` is written last: a folder without it is not a set.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch
import yaml

from lh_mm.audio.instruments.synth import Synth
from lh_mm.core.files import FULL_DISK, free_bytes, sha256_of, write_atomic
from lh_mm.core.log import progress
from lh_mm.data.corpora.base import SourceItem
from lh_mm.data.manifest import write_manifest
from lh_mm.data.recipe import Recipe
from lh_mm.data.shards import ShardJob, Workbench
from lh_mm.data.sources import data_root
from lh_mm.models.load import load_codec

LOGGER = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Of the files of a set, and of the events and features in them; raised when what is stored changes meaning."""


_FEW_PIECES = 8
"""So many are done before a process has even started."""


class PrepareError(ValueError):
    """Preparation could not finish; what is done is kept, and the message says how to go on."""


def prepare(recipe: Recipe, *, root: Path | None = None, workers: int | None = None) -> Path:
    """Make a set, or finish it, or find that it is there.

    Args:
        recipe: what to make.
        root: parent of all sets; `$LH_DATA`, by default `./data`.
        workers: processes; None is one a core (for more than a handful of pieces), 1 works in this process.

    Returns:
        The set's folder, which holds `DONE`.

    Raises:
        SourceError: there is nothing to prepare.
        PrepareError: the disk is full, a process died, no piece was usable, or another one is preparing this set.
        KeyboardInterrupt: as it came, when every process has stopped.
    """
    files = recipe.corpus.locate(recipe.licence)
    items = recipe.corpus.build(recipe.licence, files).listing()
    folder = (root or data_root()) / recipe.name / fingerprint(recipe, items)[:16]
    if (folder / "DONE").exists():
        LOGGER.info("%s is there already: nothing to do", folder)
        return folder
    jobs = _jobs(items, recipe.shards.pieces_per_shard, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            missing = [job for job in jobs if not (folder / f"shard.{job.index}.json").exists()]
            if len(missing) < len(jobs):
                LOGGER.info("going on: %d of %d shards are there", len(jobs) - len(missing), len(jobs))
            _run(recipe, files, missing, _num_workers(workers, missing))
            with write_atomic(folder / "recipe.yaml", "w") as handle:
                yaml.safe_dump(recipe.model_dump(mode="json"), handle, sort_keys=False, allow_unicode=True)
            write_manifest(folder, len(jobs), _about(recipe, folder.name))
            with write_atomic(folder / "DONE", "w"):
                pass
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        done = sum((folder / f"shard.{job.index}.json").exists() for job in jobs)
        raise PrepareError(
            f"the disk is full ({free_bytes(folder) / 1e6:.0f} MB free at {folder}): {done} of {len(jobs)} shards are "
            f"there and sound. Make room and run the same command; it goes on with the next."
        ) from error
    return folder


def fingerprint(recipe: Recipe, items: Sequence[SourceItem]) -> str:
    """SHA-256 of everything that a set's content depends on: recipe, sources, adapter, codec, front end, sound."""
    codec = load_codec(recipe.codec.source) if recipe.codec else None
    rate_hz = recipe.rate_of(codec)
    identity = recipe.model_dump(mode="json")
    for key in ("name", "codec", "features"):
        identity.pop(key)
    if recipe.corpus.kind == "folder":
        identity["corpus"].pop("path")  # where the files lie changes nothing; their names and hashes count
    return sha256_of(
        {
            "format": FORMAT_VERSION,
            "recipe": identity,
            "rate_hz": rate_hz,
            "adapter": recipe.corpus.build(recipe.licence, Path()).VERSION,
            "sources": [item.to_json() for item in items],
            "codec": codec.fingerprint if codec else None,
            "features": recipe.features.build(recipe.audio.sample_rate, rate_hz).fingerprint
            if recipe.features
            else None,
            "instrument": Synth().fingerprint if recipe.plays else None,
        }
    )


def _about(recipe: Recipe, name: str) -> dict[str, Any]:
    """What `set.json` says of a set besides its pieces: all that a model's spec needs."""
    codec = load_codec(recipe.codec.source) if recipe.codec else None
    described = codec and {
        "source": recipe.codec.source if recipe.codec else "",
        "fingerprint": codec.fingerprint,
        "num_codebooks": codec.num_codebooks,
        "codebook_size": codec.codebook_size,
    }
    rate_hz, rate, features = recipe.rate_of(codec), recipe.audio.sample_rate, recipe.features
    return {
        "format": FORMAT_VERSION,
        "name": recipe.name,
        "fingerprint": name,
        "licence": recipe.licence,
        "rate_hz": rate_hz,
        "sample_rate": rate,
        "codec": described,
        "features": features
        and {**features.model_dump(), "reach_frames": features.build(rate, rate_hz).window_frames - 1},
    }


def _jobs(items: Sequence[SourceItem], pieces_per_shard: int, folder: Path) -> list[ShardJob]:
    starts = range(0, len(items), pieces_per_shard)
    return [ShardJob(i, tuple(items[start : start + pieces_per_shard]), folder) for i, start in enumerate(starts)]


def _num_workers(asked: int | None, jobs: Sequence[ShardJob]) -> int:
    """As many as asked, or one for each core that this process may use; none idle, and none for a handful of pieces."""
    if asked is None:
        if sum(len(job.items) for job in jobs) <= _FEW_PIECES:
            return 1
        asked = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(asked, len(jobs)))


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the set's lock; the system lets go of it when the process ends, however it ends."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PrepareError(f"{folder} is being prepared by another process; wait for it") from None
        yield


def _run(recipe: Recipe, files: Path, jobs: list[ShardJob], workers: int) -> None:
    """Write the missing shards, here or in processes."""
    label = f"preparing {recipe.name}"
    with progress(label, sum(len(job.items) for job in jobs), "pieces") as bar:
        if workers <= 1:
            bench = Workbench(recipe, files) if jobs else None
            for job in jobs:
                assert bench is not None
                bar.advance(len(job.items), _note(bench.write(job)))
            return
        context = multiprocessing.get_context("spawn")  # fork is unsafe once torch has threads
        stop = context.Event()
        pool = ProcessPoolExecutor(workers, context, _start_worker, (recipe, files, stop, os.getpid()))
        try:
            with _deaf_to_ctrl_c():
                running = {pool.submit(_work, job): job for job in jobs}
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    bar.advance(len(running[future].items), _note(future.result()))
                    del running[future]
        except BrokenProcessPool as error:
            raise PrepareError(
                "a worker process died (out of memory, or a file that crashes its decoder). What is done is kept; "
                "run the same command with workers=1 to see which piece it is"
            ) from error
        finally:
            # On any error, Ctrl-C included: nothing new begins, what runs stops before its next piece.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes begun in this block never see Ctrl-C, for the parent decides; the parent sees it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _note(summary: dict[str, Any]) -> str:
    return (
        f"{len(summary['quarantine'])} of the last {len(summary['items'])} in quarantine"
        if summary["quarantine"]
        else ""
    )


_BENCH: Workbench | None = None
_STOP: Event | None = None


def _start_worker(recipe: Recipe, files: Path, stop: Event, parent: int) -> None:
    """Set up a process: one thread, gone when the parent is gone."""
    global _BENCH, _STOP

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(1)
    _BENCH, _STOP = Workbench(recipe, files), stop


def _work(job: ShardJob) -> dict[str, Any]:
    assert _BENCH is not None and _STOP is not None
    return _BENCH.write(job, _STOP.is_set)
