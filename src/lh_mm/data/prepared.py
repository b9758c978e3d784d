"""A prepared set: notes, codes and features of every piece, read from memory maps, nothing decoded.

`PreparedSet(path)` opens the manifest; arrays are mapped when first asked for, so a set travels to data workers
as a path. Slices of codes and features are views of the file: a crop reads only its own bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.features import ConstantQConfig, LogMelConfig, read_features
from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.io import read_audio
from lh_mm.core.clock import TempoMap
from lh_mm.core.files import read_json
from lh_mm.data.splits import Split
from lh_mm.music.score import NOTE_DTYPE, Alignment, Meter, Score


class PreparedError(ValueError):
    """This folder is no prepared set, or not what it says."""


@dataclass(frozen=True)
class PieceInfo:
    """A piece's line of the manifest.

    Attributes:
        id: unique in the set.
        split: `train`, `valid` or `test`.
        num_frames: N, slots of the piece.
        duration_s: seconds.
        tracks: audio tracks that it has.
        programs: of its notes, in the order of their tracks; -1 is drums. Empty without notes.
        record: everything else.
    """

    id: str
    split: Split
    num_frames: int
    duration_s: float
    tracks: tuple[str, ...]
    programs: tuple[int, ...]
    record: Mapping[str, Any]

    @property
    def labels(self) -> Mapping[str, str | float | int]:
        """Style, key, tempo_bpm, ..."""
        return self.record["labels"]

    @property
    def licence(self) -> str:
        """Under which it may be used."""
        return str(self.record["licence"])

    @property
    def alignment(self) -> Alignment:
        """How notes and sound are known to belong together."""
        return self.record["alignment"]

    @property
    def num_notes(self) -> int:
        """Notes; 0 for sound alone."""
        return int(self.record["notes"][1])


class PreparedSet:
    """A set on disk.

    Args:
        path: its folder, or the folder of its name if that holds one set only.

    Attributes:
        about: `set.json`: name, rate_hz, sample_rate, codec, features, audio_tracks, controls, licence.

    Raises:
        PreparedError: there is no finished set.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _finished(Path(path))
        self.about: dict[str, Any] = read_json(self.path / "set.json")
        self._pieces = [_piece(line, self.path) for line in _lines(self.path / "pieces.jsonl")]
        self._maps: dict[str, NDArray[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # a process maps for itself

    def __len__(self) -> int:
        return len(self._pieces)

    def __repr__(self) -> str:
        return f"PreparedSet({str(self.path)!r}, {len(self)} pieces)"

    @property
    def rate_hz(self) -> float:
        """Slots a second."""
        return float(self.about["rate_hz"])

    @property
    def sample_rate(self) -> int:
        """Of kept and rendered sound, in Hz."""
        return int(self.about["sample_rate"])

    @property
    def audio_tracks(self) -> tuple[str, ...]:
        """Tracks that some piece has."""
        return tuple(self.about["audio_tracks"])

    @property
    def num_codebooks(self) -> int:
        """K; 0 without a codec."""
        return int(self.about["codec"]["num_codebooks"]) if self.about["codec"] else 0

    @cached_property
    def feature_config(self) -> LogMelConfig | ConstantQConfig | None:
        """Settings of the features, None without."""
        if not self.about["features"]:
            return None
        settings = {key: value for key, value in self.about["features"].items() if key != "reach_frames"}
        return read_features(settings, str(self.path / "set.json"))

    @property
    def num_features(self) -> int:
        """F; 0 without features."""
        return 0 if self.feature_config is None else self.feature_config.num_features

    @cached_property
    def stats(self) -> dict[str, Any]:
        """`stats.json`."""
        return read_json(self.path / "stats.json")

    @cached_property
    def quarantine(self) -> list[dict[str, str]]:
        """What was left out: id, file, reason."""
        return list(_lines(self.path / "quarantine.jsonl"))

    def pieces(self, split: Split | None = None) -> list[PieceInfo]:
        """Pieces of a split, or all, in the order of the manifest."""
        return [piece for piece in self._pieces if split is None or piece.split == split]

    def piece(self, piece_id: str) -> PieceInfo:
        """The piece of this id.

        Raises:
            PreparedError: there is none.
        """
        found = next((piece for piece in self._pieces if piece.id == piece_id), None)
        if found is None:
            raise PreparedError(f"{self.path} has no piece {piece_id!r}")
        return found

    def notes(self, piece: PieceInfo) -> NDArray[np.void]:
        """Notes, legal at this set's rate, sorted by start: a view of the file."""
        start, count = piece.record["notes"]
        if not count:
            return np.zeros(0, NOTE_DTYPE)  # an empty file cannot be mapped
        return self._map("notes", piece)[start : start + count]

    def codes(self, piece: PieceInfo, track: str) -> NDArray[np.int16]:
        """(N, K): a view of the file."""
        return self._frames("codes", piece, track)

    def features(self, piece: PieceInfo, track: str) -> NDArray[np.float16]:
        """(N, F): a view of the file."""
        return self._frames("features", piece, track)

    def score(self, piece: PieceInfo) -> Score | None:
        """The notes with tempo map, meters and track names; None for sound alone."""
        stored = piece.record["score"]
        if stored is None:
            return None
        tempo_map = TempoMap(np.array(stored["tempo_map"]["beats"]), np.array(stored["tempo_map"]["seconds"]))
        meters = tuple(Meter(*meter) for meter in stored["meters"])
        return Score(np.array(self.notes(piece)), tempo_map, piece.duration_s, meters, tuple(stored["tracks"]))

    def audio(self, piece: PieceInfo, track: str) -> NDArray[np.float32]:
        """The sound of a track, (samples,) at `sample_rate`: kept, or rendered anew, which gives the same samples.

        Raises:
            PreparedError: it is a recording that was not kept.
        """
        entry = self._track(piece, track)
        if "file" in entry:
            return read_audio(self.path / entry["file"], self.sample_rate, mono=True)[0][0]
        score = self.score(piece)
        if not piece.record["rendered"] or score is None:
            raise PreparedError(f"the sound of {piece.id!r} was not kept; prepare it with audio.keep=true")
        return Synth.for_labels(piece.labels, channels=1).render(score, self.sample_rate)[0]

    def _track(self, piece: PieceInfo, track: str) -> Mapping[str, Any]:
        if track not in piece.tracks:
            raise PreparedError(
                f"{piece.id!r} has no audio track {track!r}; it has {', '.join(piece.tracks) or 'none'}"
            )
        return piece.record["audio"][track]

    def _frames(self, kind: str, piece: PieceInfo, track: str) -> NDArray[Any]:
        start = self._track(piece, track)["frame"]
        return self._map(f"{kind}.{track}", piece)[start : start + piece.num_frames]

    def _map(self, name: str, piece: PieceInfo) -> NDArray[Any]:
        file = f"{name}.{piece.record['shard']}.npy"
        if file not in self._maps:
            try:
                self._maps[file] = np.load(self.path / file, mmap_mode="r", allow_pickle=False)
            except FileNotFoundError:
                raise PreparedError(
                    f"{self.path} has no {file}: the recipe stores none, or a file is missing"
                ) from None
            except ValueError as error:
                raise PreparedError(f"{self.path / file}: damaged ({error})") from error
        return self._maps[file]


def _finished(path: Path) -> Path:
    """The folder of a finished set."""
    if (path / "DONE").is_file():
        return path
    below = sorted(child for child in path.glob("*") if (child / "DONE").is_file()) if path.is_dir() else []
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(child.name for child in below)
        raise PreparedError(f"{path} holds {len(below)} sets; name one of them: {names}")
    if not path.is_dir():
        raise PreparedError(f"there is no folder {path}; `lh data prepare` makes prepared sets")
    if any(path.glob("shard.*.json")) or (path / ".lock").exists():
        raise PreparedError(f"{path} is not finished (no DONE); run the same `lh data prepare` again, it goes on")
    raise PreparedError(f"{path} is no prepared set (no DONE); for a folder of music use `data.folder`")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _piece(record: dict[str, Any], path: Path) -> PieceInfo:
    try:
        score = record["score"]
        return PieceInfo(
            record["id"], record["split"], record["num_frames"], record["duration_s"], tuple(record["audio"]),
            tuple(score["programs"]) if score else (), record,
        )  # fmt: skip
    except KeyError as error:
        raise PreparedError(f"{path / 'pieces.jsonl'}: a piece has no {error}") from None
