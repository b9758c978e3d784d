"""`pop909`: 909 pop songs as melody, bridge and piano (Wang et al., ISMIR 2020, arXiv:2008.07142), MIT licence.

The files' ticks are not beats: only 12.9 % of onsets fall on sixteenths of the ticks, 93 % on those of the
annotated beats. So the tempo map is `beat_midi.txt`. The three tracks are all piano in the files; here each
is a program of its own, because which track a note is in is something a model has to say. The alternative
arrangements (`versions/`) are never read, so no song is in two splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from lh_mm.core.clock import TempoMap
from lh_mm.core.config import Config
from lh_mm.data.corpora.base import Quarantine, SourceError, SourceItem, source_file
from lh_mm.data.sources import SourceConfig, check_content, resolve_source
from lh_mm.data.splits import Split
from lh_mm.music.midi_io import MidiError, read_midi
from lh_mm.music.score import Piece, Score

PROGRAMS: Mapping[str, int] = {"MELODY": 80, "BRIDGE": 48, "PIANO": 0}
"""General MIDI programs (from 0) of the three tracks: a square lead, strings, a grand piano."""

_FOLDER = "POP909"
_NEEDED = ("{song}.mid", "beat_midi.txt")
_OPTIONAL = ("key_audio.txt", "chord_midi.txt")


class Pop909Config(Config):
    """Where the songs are, and how many are taken."""

    kind: Literal["pop909"] = "pop909"
    source: SourceConfig
    """The public archive, and the folder below LH_SOURCES that holds the same."""
    pieces: int | None = None
    """Only the first so many songs, for a quick look; their splits stay the same."""

    def locate(self, licence: str) -> Path:
        return resolve_source(self.source, licence)

    def build(self, licence: str, root: Path) -> Pop909:
        return Pop909(self, licence, root)


class Pop909:
    """The adapter."""

    VERSION = 1

    def __init__(self, config: Pop909Config, licence: str, root: Path) -> None:
        self.config, self.licence, self.root = config, licence, root

    def listing(self) -> list[SourceItem]:
        songs = sorted(path for path in (self.root / _FOLDER).glob("[0-9][0-9][0-9]") if path.is_dir())
        if not songs:
            raise SourceError(f"{self.root}: no songs; expected folders {_FOLDER}/001, {_FOLDER}/002, ...")
        items = []
        for index, song in enumerate(songs):
            names = [name.format(song=song.name) for name in (*_NEEDED, *_OPTIONAL)]
            files = tuple(source_file(self.root, song / name) for name in names if (song / name).is_file())
            items.append(SourceItem(f"pop909-{song.name}", files, split_of_index(index)))
        check_content(self.config.source, (file for item in items for file in item.files), self.root)
        return items[: self.config.pieces]

    def read(self, item: SourceItem) -> Piece:
        song = item.id.removeprefix("pop909-")
        folder = self.root / _FOLDER / song
        try:
            score = read_midi(folder / f"{song}.mid")
            tempo_map = _read_beats(folder / "beat_midi.txt")
        except FileNotFoundError as error:
            raise Quarantine(f"{Path(error.filename).name} is missing") from error
        except (MidiError, ValueError) as error:
            raise Quarantine(str(error)) from error
        score = _on_beats(score, tempo_map)
        labels: dict[str, str | float | int] = {"tempo_bpm": round(_median_tempo_bpm(score), 2)}
        if (key := _key(folder / "key_audio.txt")) is not None:
            labels["key"] = key
        return Piece(item.id, score, (), labels, self.licence, "none")


def split_of_index(index: int) -> Split:
    """The split of the n-gram floors: of ten songs in the order of their names the first tests, the second validates."""
    return "test" if index % 10 == 0 else "valid" if index % 10 == 1 else "train"


def _read_beats(path: Path) -> TempoMap:
    times = [float(line.split()[0]) for line in path.read_text().splitlines() if line.strip()]
    return TempoMap(np.arange(len(times), dtype=np.float64), np.array(times))


def _on_beats(score: Score, tempo_map: TempoMap) -> Score:
    """The same seconds, with beats counted by the annotation and a program for each track."""
    notes = score.notes.copy()
    for edge in ("start", "end"):
        notes[f"{edge}_beat"] = tempo_map.to_beats(notes[f"{edge}_s"])
    for track, name in enumerate(score.tracks):
        if name not in PROGRAMS:
            raise Quarantine(f"a track is called {name!r}; {', '.join(PROGRAMS)} are expected")
        notes["program"][notes["track"] == track] = PROGRAMS[name]
    return replace(score, notes=notes, tempo_map=tempo_map)


def _median_tempo_bpm(score: Score) -> float:
    return float(60.0 / np.median(np.diff(score.tempo_map.seconds)))


def _key(path: Path) -> str | None:
    """The key that most of the song is in, as `G:maj`; the file gives `start end key` lines."""
    if not path.is_file():
        return None
    seconds: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        start, end, key = line.split()
        seconds[key] = seconds.get(key, 0.0) + float(end) - float(start)
    return max(seconds, key=lambda key: seconds[key]) if seconds else None
