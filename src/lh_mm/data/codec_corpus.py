"""Sound to train a codec on: hours of rendered pieces and what real electronic sound there is, as 16-bit memory maps.

Rendered once, read at random: a training step must not wait for a synthesizer. Files are written one shard
at a time and kept, so an interrupted preparation goes on where it stopped. Pieces and recordings whose name falls
to `valid` or `test` (`data/splits.py`) are stored apart and never trained on. Nothing is downloaded: real sound is
read from the folder that the caller names (`LH_SOURCES`), and without one the codec learns from renders alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.io import AudioError, read_audio, resample, to_mono
from lh_mm.core.config import Config
from lh_mm.core.files import read_json, sha256_file, sha256_of, write_atomic, write_json
from lh_mm.core.log import LOGGER, progress
from lh_mm.data.splits import Split, split_of

REAL_FOLDERS = ("electro_kit", "edm_tr8", "edm_tr9", "edm_hse")
"""Folders of real electronic sound below LH_SOURCES; licences are in the README of each and in the codec's card."""
_REAL_SUFFIXES = (".flac", ".mp3", ".wav")
_PIECES_PER_SHARD = 8

RenderPiece = Callable[[int], tuple[str, NDArray[np.float32]]]
"""Seed to the piece's id and its mono sound at the corpus's rate."""


class CodecCorpusConfig(Config):
    """How much sound, and how it is drawn."""

    sample_rate: int = 24_000
    rendered_hours: float = 5.0
    """Of training pieces; pieces that fall to other splits come on top."""
    first_seed: int = 100_000
    """Seeds of the rendered pieces count up from here, apart from those that recipes use."""
    real_share: float = 0.2
    """Share of the training crops that are real recordings, where there are any."""
    crop_s: float = 1.0
    gain_db: tuple[float, float] = (-12.0, 6.0)
    """Range of the random gain; what would clip is turned down."""
    flip_share: float = 0.5
    """Share of the crops with inverted polarity."""


@dataclass(frozen=True)
class Clip:
    """One piece or recording: where its samples are."""

    name: str
    split: Split
    real: bool
    shard: str
    start: int
    num_samples: int


class CodecCorpus:
    """A prepared folder: `clips` and their samples.

    Args:
        folder: as `prepare_codec_corpus` made it.
    """

    def __init__(self, folder: Path) -> None:
        listing = read_json(folder / "corpus.json")
        self.clips = [Clip(**row) for row in listing["clips"]]
        self._shards = {
            name: np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in {c.shard for c in self.clips}
        }

    def of(self, *splits: Split, real: bool) -> list[Clip]:
        """Clips of some splits, rendered or real."""
        return [clip for clip in self.clips if clip.split in splits and clip.real == real]

    def read(self, clip: Clip, start: int = 0, num_samples: int | None = None) -> NDArray[np.float32]:
        """Samples of a clip in -1..1, as many as there are of those asked for."""
        end = clip.num_samples if num_samples is None else min(clip.num_samples, start + num_samples)
        return self._shards[clip.shard][clip.start + start : clip.start + end].astype(np.float32) / 32768.0


class CropSampler:
    """Random training crops; batch n is the same whoever asks, so a resumed run goes on exactly.

    Args:
        corpus: prepared sound.
        config: crop length, gains, shares.
        batch_size: crops a batch.
        seed: of all draws.

    Raises:
        ValueError: no training clip at all.
    """

    def __init__(self, corpus: CodecCorpus, config: CodecCorpusConfig, batch_size: int, seed: int) -> None:
        self.corpus, self.config, self.batch_size, self.seed = corpus, config, batch_size, seed
        self._groups = [corpus.of("train", real=False), corpus.of("train", real=True)]
        if not any(self._groups):
            raise ValueError("the codec corpus has no training clip: raise data.rendered_hours or set LH_SOURCES")
        # Long clips are drawn in proportion to their length; a clip shorter than a crop counts as one crop.
        crop = round(config.crop_s * config.sample_rate)
        weights = [np.array([max(c.num_samples, crop) for c in group], float) for group in self._groups]
        self._chances = [weight / max(weight.sum(), 1.0) for weight in weights]

    def batch(self, index: int) -> NDArray[np.float32]:
        """Batch `index` of the run, `(batch, 1, samples)`."""
        rng = np.random.default_rng([self.seed, index])
        return np.stack([self._crop(rng) for _ in range(self.batch_size)])[:, None]

    def _crop(self, rng: np.random.Generator) -> NDArray[np.float32]:
        real = bool(rng.random() < self.config.real_share)
        group = real if self._groups[real] else not real
        clip = self._groups[group][rng.choice(len(self._groups[group]), p=self._chances[group])]
        length = round(self.config.crop_s * self.config.sample_rate)
        wave = np.zeros(length, np.float32)
        # A crop may begin up to half a second before a clip, so that beginnings after silence are learnt too.
        lead = min(length // 2, self.config.sample_rate // 2)
        start = int(rng.integers(-lead, max(1, clip.num_samples - length + 1)))
        samples = self.corpus.read(clip, max(0, start), length + min(0, start))
        offset = max(0, -start)
        wave[offset : offset + len(samples)] = samples
        gain = 10.0 ** (rng.uniform(*self.config.gain_db) / 20.0)
        gain = min(gain, 0.999 / max(float(np.abs(wave).max()), 1e-6))
        return wave * np.float32(-gain if rng.random() < self.config.flip_share else gain)


def prepare_codec_corpus(
    config: CodecCorpusConfig, folder: Path, render: RenderPiece, render_version: str, sources: Path | None
) -> CodecCorpus:
    """Render and read until there is as much sound as asked for; what is there already is kept.

    Args:
        config: how much.
        folder: parent of the corpus; its own name is a hash of what is in it.
        render: makes piece number `seed`.
        render_version: says which composer and synthesizer `render` is; part of the hash.
        sources: folder with `REAL_FOLDERS`, or None.
    """
    files = sorted(_real_files(sources)) if sources is not None else []
    if not files:
        LOGGER.warning("no real recordings (LH_SOURCES is %s): the codec corpus is renders alone", sources or "not set")
    identity = {
        "sample_rate": config.sample_rate,
        "rendered_hours": config.rendered_hours,
        "first_seed": config.first_seed,
        "render": render_version,
        "real": {f"{path.parts[-2]}/{path.name}": sha256_file(path) for path in files},
    }
    target = folder / sha256_of(identity)[:16]
    if not (target / "DONE").exists():
        clips = list(_write_renders(config, target, render))
        clips += list(_write_real(config, target, files))
        write_json(target / "corpus.json", {"identity": identity, "clips": [vars(clip) for clip in clips]})
        with write_atomic(target / "DONE", "w"):
            pass
    return CodecCorpus(target)


def _write_renders(config: CodecCorpusConfig, folder: Path, render: RenderPiece) -> Iterator[Clip]:
    wanted = round(config.rendered_hours * 3600 * config.sample_rate)
    seed, rendered, number = config.first_seed, 0, 0
    with progress("rendering", total=round(config.rendered_hours * 60), unit="min") as bar:
        while rendered < wanted:
            shard = f"render_{number:04d}.npy"
            clips = _shard(folder, shard, (render(seed + i) for i in range(_PIECES_PER_SHARD)), False)
            trained = sum(clip.num_samples for clip in clips if clip.split == "train")
            minutes = 60 * config.sample_rate
            bar.advance((rendered + trained) // minutes - rendered // minutes)
            rendered, seed, number = rendered + trained, seed + _PIECES_PER_SHARD, number + 1
            yield from clips


def _write_real(config: CodecCorpusConfig, folder: Path, files: list[Path]) -> Iterator[Clip]:
    def recordings() -> Iterator[tuple[str, NDArray[np.float32]]]:
        for path in files:
            try:
                wave, rate = read_audio(path)
            except AudioError as error:
                LOGGER.warning("left out: %s", error)
                continue
            collection = next(name for name in REAL_FOLDERS if name in path.parts)
            yield f"{collection}/{path.name}", resample(to_mono(wave), rate, config.sample_rate)[0]

    if files:
        yield from _shard(folder, "real.npy", recordings(), True)


def _shard(folder: Path, name: str, waves: Iterator[tuple[str, NDArray[np.float32]]], real: bool) -> list[Clip]:
    """Write one shard with its listing beside it, or read the listing of one that is complete."""
    listing = folder / f"{name}.json"
    if not listing.exists():
        rows, parts, start = [], [], 0
        for piece, wave in waves:
            samples = np.round(np.clip(wave, -1.0, 32767 / 32768) * 32768).astype(np.int16)
            rows.append(vars(Clip(piece, split_of(piece), real, name, start, len(samples))))
            parts.append(samples)
            start += len(samples)
        with write_atomic(folder / name) as handle:
            np.save(handle, np.concatenate(parts) if parts else np.zeros(0, np.int16), allow_pickle=False)
        write_json(listing, rows)
    return [Clip(**row) for row in read_json(listing)]


def _real_files(sources: Path) -> Iterator[Path]:
    for name in REAL_FOLDERS:
        for path in (sources / name).rglob("*"):
            if path.suffix.lower() in _REAL_SUFFIXES and path.is_file():
                yield path
