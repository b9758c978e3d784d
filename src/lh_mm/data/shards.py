"""One shard: some pieces read, made legal, played, encoded and written, whole or not at all.

This is what a worker process does. Reading a piece may fail in every way that strangers' files fail; that puts
the piece into quarantine and nothing else. Writing may fail by a full disk; that ends the run, and the shard
is not there. `shard.<i>.json` is written last: where it stands, the shard's arrays are complete.

Files of shard i: `notes.<i>.npy` (`NOTE_DTYPE`), for each track `codes.<track>.<i>.npy` (int16, (frames, K)) and
`features.<track>.<i>.npy` (float16, (frames, F)), kept sound as `audio/<i>.<n>.<track>.flac`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from lh_mm.audio.codec import Codec, StreamingCodec
from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.io import AudioError, read_audio, write_audio
from lh_mm.audio.loudness import integrated_loudness
from lh_mm.core.clock import num_frames_for, samples_of
from lh_mm.core.files import FULL_DISK, write_atomic, write_json
from lh_mm.data.alignment import agreement
from lh_mm.data.corpora.base import Corpus, Quarantine, SourceItem
from lh_mm.data.corpora.folder import MAIN_TRACK
from lh_mm.data.recipe import Recipe
from lh_mm.models.load import load_codec
from lh_mm.music.beats import share_on_grid
from lh_mm.music.events import MAX_EVENTS_PER_SLOT, EventVocabulary, encode_events
from lh_mm.music.legal import legalise, on_slots
from lh_mm.music.score import NOTE_DTYPE, Alignment, Piece, Score

LOGGER = logging.getLogger(__name__)

_CHUNK_S = 20.0
"""Sound is encoded in parts of this length, so that an hour fits in memory."""


@dataclass(frozen=True)
class ShardJob:
    """What one shard is made of; small, for it travels to a process."""

    index: int
    items: tuple[SourceItem, ...]
    folder: Path


@dataclass(frozen=True)
class Prepared:
    """One piece, ready to be written; arrays of each track are time first."""

    record: dict[str, Any]
    notes: NDArray[np.void]
    codes: dict[str, NDArray[np.int16]]
    features: dict[str, NDArray[np.float16]]
    sound: dict[str, NDArray[np.float32]]


class Workbench:
    """What a process sets up once: the corpus, the codec, the front end.

    Args:
        recipe: what to make.
        root: folder of the corpus's files.
    """

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.corpus: Corpus = recipe.corpus.build(recipe.licence, root)
        self.codec: Codec | None = load_codec(recipe.codec.source) if recipe.codec else None
        self.rate_hz = recipe.rate_of(self.codec)
        rate = recipe.audio.sample_rate
        self.features = recipe.features.build(rate, self.rate_hz) if recipe.features else None
        self.wants_sound = self.codec is not None or self.features is not None or recipe.audio.keep

    def prepare(self, item: SourceItem) -> Prepared:
        """One piece.

        Raises:
            Quarantine: and why.
        """
        piece = self.corpus.read(item)
        waves, alignment, proof = self._sound_of(piece)
        score, counts, num_frames, duration_s = self._fit(piece, waves)
        if not self.recipe.limits.min_duration_s <= duration_s <= self.recipe.limits.max_duration_s:
            limits = self.recipe.limits
            raise Quarantine(f"{duration_s:.1f} s long; {limits.min_duration_s} to {limits.max_duration_s} s are taken")
        if self.recipe.plays and score is not None and not piece.audio:
            score = on_slots(score, self.rate_hz, num_frames) if self.recipe.audio.on_slots else score
            synth = Synth.for_labels(piece.labels, channels=1)
            waves = {MAIN_TRACK: synth.render(score, self.recipe.audio.sample_rate)[0]}
            alignment = "exact"
        codes = {name: self._encode(wave, num_frames) for name, wave in waves.items()} if self.codec else {}
        features = {name: self._analyse(wave, num_frames) for name, wave in waves.items()} if self.features else {}
        record = {
            "id": piece.id,
            "split": piece.labels.get("split", item.split),
            "labels": {key: value for key, value in piece.labels.items() if key != "split"},
            "licence": piece.licence,
            "alignment": alignment,
            "proof": proof,
            "duration_s": duration_s,
            "num_frames": num_frames,
            "rendered": bool(waves) and not piece.audio,
            "counts": counts,
            "files": [[file.name, file.sha256] for file in item.files],
            "score": None if score is None else _score_record(score),
        }
        notes = np.zeros(0, NOTE_DTYPE) if score is None else score.notes
        return Prepared(record, notes, codes, features, waves if self.recipe.audio.keep and piece.audio else {})

    def _sound_of(self, piece: Piece) -> tuple[dict[str, NDArray[np.float32]], Alignment, dict[str, Any] | None]:
        """Recorded tracks, equally long, at the recipe's rate; refused where they do not lie on the notes."""
        if not piece.audio or not self.wants_sound:
            if piece.score is None:
                raise Quarantine("no notes, and the recipe stores no sound (give codec, features or audio.keep)")
            return {}, "none", None
        rate = self.recipe.audio.sample_rate
        waves = {track.name: read_audio(track.path, rate, mono=True)[0][0] for track in piece.audio}
        longest = max(len(wave) for wave in waves.values())
        if longest > self.recipe.limits.max_duration_s * rate:
            raise Quarantine(
                f"{longest / rate:.0f} s of sound; at most {self.recipe.limits.max_duration_s} s are taken"
            )
        waves = {name: np.pad(wave, (0, longest - len(wave))) for name, wave in waves.items()}
        mix: NDArray[np.float32] = np.stack(list(waves.values())).sum(axis=0, dtype=np.float32)
        if not np.abs(mix).max() > 1e-4:
            raise Quarantine(f"silent: the loudest sample is {np.abs(mix).max():.1e}")
        proof = None
        alignment: Alignment = piece.alignment
        if piece.score is not None and alignment == "unproved":
            found = agreement(piece.score.notes["start_s"], mix, rate)
            proof = found.to_json()
            if found.problem:
                raise Quarantine(f"alignment of notes and sound not proved: {found.problem}")
            alignment = "proved"
        gain = self._gain(mix, waves, rate)
        return {name: wave * gain for name, wave in waves.items()}, alignment, proof

    def _gain(self, mix: NDArray[np.float32], waves: dict[str, NDArray[np.float32]], rate: int) -> np.float32:
        """One gain for all tracks: to the loudness asked for, and never beyond full scale."""
        gain_db = 0.0
        if self.recipe.audio.loudness_lufs is not None:
            loudness = integrated_loudness(mix[None], rate)
            gain_db = self.recipe.audio.loudness_lufs - loudness if np.isfinite(loudness) else 0.0
        peak = max(float(np.abs(wave).max()) for wave in waves.values())
        return np.float32(min(10.0 ** (gain_db / 20.0), 0.999 / max(peak, 1e-9)))

    def _fit(
        self, piece: Piece, waves: dict[str, NDArray[np.float32]]
    ) -> tuple[Score | None, dict[str, int], int, float]:
        """The legal score on the piece's slots: (score, counts of changes, N, seconds)."""
        rate = self.recipe.audio.sample_rate
        if waves:
            duration_s = len(next(iter(waves.values()))) / rate
        else:
            assert piece.score is not None
            # Rendered sound has whole samples, and the codec whole frames of them.
            samples = samples_of(piece.score.duration_s, rate)
            duration_s = samples / rate if self.recipe.plays else piece.score.duration_s
        num_frames = num_frames_for(duration_s, self.rate_hz)
        if piece.score is None or num_frames < 1:
            return None, {}, num_frames, duration_s
        score = Score(piece.score.notes, piece.score.tempo_map, duration_s, piece.score.meters, piece.score.tracks)
        score, counts = legalise(score, self.rate_hz, num_frames)
        if not len(score):
            raise Quarantine("no notes are left: all begin after the end of the sound")
        events = encode_events(score, self.rate_hz, num_frames, EventVocabulary())
        if events.most_in_a_slot > MAX_EVENTS_PER_SLOT:
            raise Quarantine(
                f"{events.most_in_a_slot} events in one slot of {1000 / self.rate_hz:.0f} ms; "
                f"at most {MAX_EVENTS_PER_SLOT} are taken"
            )
        return score, counts, num_frames, duration_s

    def _encode(self, wave: NDArray[np.float32], num_frames: int) -> NDArray[np.int16]:
        """(samples,) to (frames, K)."""
        codec = self.codec
        assert codec is not None
        sound = torch.from_numpy(np.ascontiguousarray(wave))[None, None]
        if isinstance(codec, StreamingCodec):
            hop = codec.hop_samples
            sound = torch.nn.functional.pad(sound, (0, -sound.shape[-1] % hop))
            state, parts = codec.init_stream(1), []
            for part in sound.split(max(1, round(_CHUNK_S * codec.rate_hz)) * hop, dim=-1):
                codes, state = codec.encode_step(part, state)
                parts.append(codes)
            codes = torch.cat(parts, dim=1)
        else:
            codes = codec.encode(sound)
        found = codes[0].numpy().astype(np.int16)
        if len(found) != num_frames:
            raise ValueError(f"the codec made {len(found)} frames of {len(wave)} samples, expected {num_frames}")
        return found

    def _analyse(self, wave: NDArray[np.float32], num_frames: int) -> NDArray[np.float16]:
        """(samples,) to (frames, F)."""
        assert self.features is not None
        with torch.inference_mode():
            values = self.features(torch.from_numpy(np.ascontiguousarray(wave))[None])[0]
        return np.asarray(values[:num_frames].numpy(), np.float16)

    def write(self, job: ShardJob, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Prepares and writes one shard.

        Args:
            job: which pieces.
            should_stop: asked between pieces.

        Returns:
            What `shard.<i>.json` holds.

        Raises:
            InterruptedError: `should_stop` said so; nothing was written.
            OSError: the disk is full or not writable.
        """
        pieces: list[Prepared] = []
        quarantined: list[dict[str, str]] = []
        for item in job.items:
            if should_stop():
                raise InterruptedError(f"shard {job.index} was stopped")
            try:
                pieces.append(self.prepare(item))
            except Exception as error:
                if isinstance(error, OSError) and error.errno in FULL_DISK:
                    raise
                known = isinstance(error, Quarantine | AudioError)
                reason = str(error) if known else f"unexpected {type(error).__name__}: {error}"
                if not known:
                    LOGGER.warning("%s: %s", item.id, reason, exc_info=error)
                file = ", ".join(file.name for file in item.files)
                quarantined.append({"id": item.id, "file": file, "reason": reason})
        records = _write_arrays(job, pieces, self.recipe.audio.sample_rate)
        summary = {"items": [item.id for item in job.items], "pieces": records, "quarantine": quarantined}
        write_json(job.folder / f"shard.{job.index}.json", summary)
        return summary


def _score_record(score: Score) -> dict[str, Any]:
    """What a score is besides its notes, and where its onsets stand."""
    program = np.where(score.notes["drum"], -1, score.notes["program"].astype(np.int64))
    by_track = np.lexsort([program, score.notes["track"]])
    return {
        "tempo_map": {"beats": score.tempo_map.beats.tolist(), "seconds": score.tempo_map.seconds.tolist()},
        "meters": [[meter.start_beat, meter.numerator, meter.denominator] for meter in score.meters],
        "tracks": list(score.tracks),
        "programs": list(dict.fromkeys(program[by_track].tolist())),  # in the order of tracks
        "onsets_on_16ths": round(share_on_grid(score) * len(score)),
    }


def _write_arrays(job: ShardJob, pieces: Sequence[Prepared], sample_rate: int) -> list[dict[str, Any]]:
    """Writes all arrays of a shard; returns the records with their places in them."""
    notes: list[NDArray[np.void]] = []
    frames: dict[str, list[NDArray[Any]]] = defaultdict(list)  # by "codes.<track>" and "features.<track>"
    records = []
    note_at, frame_at = 0, defaultdict[str, int](int)
    for number, piece in enumerate(pieces):
        record = {**piece.record, "shard": job.index, "notes": [note_at, len(piece.notes)], "audio": {}}
        note_at += len(piece.notes)
        notes.append(piece.notes)
        for track in sorted({*piece.codes, *piece.features, *piece.sound}):
            record["audio"][track] = {"frame": frame_at[track]}
            if {*piece.codes, *piece.features}:
                frame_at[track] += record["num_frames"]
            if track in piece.codes:
                frames[f"codes.{track}"].append(piece.codes[track])
            if track in piece.features:
                frames[f"features.{track}"].append(piece.features[track])
            if track in piece.sound:
                name = f"audio/{job.index}.{number}.{track}.flac"
                write_audio(job.folder / name, piece.sound[track], sample_rate)
                record["audio"][track]["file"] = name
        records.append(record)
    _save(job.folder / f"notes.{job.index}.npy", np.concatenate([np.zeros(0, NOTE_DTYPE), *notes]))
    for name, arrays in frames.items():
        _save(job.folder / f"{name}.{job.index}.npy", np.concatenate(arrays))
    return records


def _save(path: Path, array: NDArray[Any]) -> None:
    with write_atomic(path) as handle:
        write_array(handle, array)


def write_array(handle: BinaryIO, array: NDArray[Any]) -> None:
    """`numpy.save` through plain writes: numpy's own hides a full disk behind "n requested and m written"."""
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(handle, np.lib.format.header_data_from_array_1_0(array))
    handle.write(array.reshape(-1).view(np.uint8).data)
