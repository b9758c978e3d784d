"""`folder`: anyone's own music: MIDI, MIDI with recordings beside it, or recordings alone.

Files belong together by their stem: `song.mid` with `song.wav` (track `mix`), or with `song.drums.wav` and
`song.bass.wav` (tracks `drums` and `bass`). A piece is everything of one stem, so a split never separates what
belongs together. Whether a recording lies on its notes is for `alignment.py` to prove; here it is only stated
that nobody has. Names of folders count: `a/song` and `b/song` are two pieces.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

from lh_mm.core.config import Config
from lh_mm.data.corpora.base import Quarantine, SourceError, SourceItem, source_file
from lh_mm.music.midi_io import MidiError, read_midi
from lh_mm.music.score import AudioTrack, Piece

MIDI_SUFFIXES = (".mid", ".midi", ".smf", ".kar")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
MAIN_TRACK = "mix"

_TRACK = re.compile(r"[A-Za-z0-9_-]{1,32}")


class FolderConfig(Config):
    """Which folder."""

    kind: Literal["folder"] = "folder"
    path: Path
    """The folder; what is below it is read too."""
    apply_sustain: bool = True
    """Lengthen notes that the sustain pedal holds, for no event says pedal."""

    def build(self, licence: str, root: Path) -> Folder:
        return Folder(self, licence, root)

    def locate(self, licence: str) -> Path:
        """The folder itself.

        Raises:
            SourceError: there is none.
        """
        root = self.path.expanduser()
        if not root.is_dir():
            raise SourceError(f"path: there is no folder {root}{' (it is a file)' if root.exists() else ''}")
        return root


class Folder:
    """The adapter."""

    VERSION = "2"

    def __init__(self, config: FolderConfig, licence: str, root: Path) -> None:
        self.config, self.licence, self.root = config, licence, root

    def listing(self) -> list[SourceItem]:
        files = [path for path in sorted(self.root.rglob("*")) if path.is_file() and not _is_hidden(path, self.root)]
        groups = group_by_piece([path.relative_to(self.root).as_posix() for path in files])
        if not groups:
            others = Counter(path.suffix.lower() or "no suffix" for path in files)
            found = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5)) or "no files at all"
            wanted = ", ".join((*MIDI_SUFFIXES, *AUDIO_SUFFIXES))
            raise SourceError(f"{self.root}: no music in this folder (it holds {found}); what is read: {wanted}")
        return [
            SourceItem(stem, tuple(source_file(self.root, self.root / name) for name in names))
            for stem, names in groups.items()
        ]

    def read(self, item: SourceItem) -> Piece:
        midi = [file for file in item.files if Path(file.name).suffix.lower() in MIDI_SUFFIXES]
        sound = [file for file in item.files if file not in midi]
        if len(midi) > 1:
            raise Quarantine(f"{len(midi)} MIDI files of one name: {', '.join(file.name for file in midi)}")
        tracks = [AudioTrack(track_of(file.name, item.id), self.root / file.name, file.sha256) for file in sound]
        twice = [name for name, count in Counter(track.name for track in tracks).items() if count > 1]
        if twice:
            raise Quarantine(f"two recordings of track '{twice[0]}': {', '.join(file.name for file in sound)}")
        score = None
        if midi:
            try:
                score = read_midi(self.root / midi[0].name, apply_sustain=self.config.apply_sustain)
            except MidiError as error:
                raise Quarantine(str(error)) from error
        return Piece(
            item.id,
            score,
            tuple(sorted(tracks, key=lambda track: track.name)),
            {"tempo_bpm": round(score.tempo_map.tempo_bpm(0.0), 2)} if score else {},
            self.licence,
            "unproved" if score and tracks else "none",
        )


def group_by_piece(names: list[str]) -> dict[str, list[str]]:
    """Relative file names by piece, in order; what is neither MIDI nor sound is left out.

    `stem.track.wav` belongs to `stem` if some other file does: a lone `01.Intro.wav` is a piece of its own.
    """
    sound = [name for name in names if Path(name).suffix.lower() in AUDIO_SUFFIXES]
    midi = [name for name in names if Path(name).suffix.lower() in MIDI_SUFFIXES]
    plain = {_stem(name) for name in (*midi, *sound)}
    siblings: Counter[str] = Counter()
    for name in sound:
        if (short := _short_stem(name)) is not None:
            siblings[short] += 1
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted((*midi, *sound)):
        short = _short_stem(name) if name in sound else None
        belongs = short is not None and (short in plain or siblings[short] > 1)
        groups[short if belongs and short is not None else _stem(name)].append(name)
    return dict(sorted(groups.items()))


def track_of(name: str, piece_id: str) -> str:
    """The track that a recording of a piece is: `song.Drums.wav` is `drums`, `song.wav` is `mix`."""
    rest = _stem(name)[len(piece_id) :].removeprefix(".")
    return rest.lower() or MAIN_TRACK


def _stem(name: str) -> str:
    return name[: -len(Path(name).suffix)]


def _short_stem(name: str) -> str | None:
    """`a/song` of `a/song.drums.wav`, None where no track is named."""
    stem = _stem(name)
    short, dot, track = stem.rpartition(".")
    if dot and short and not short.endswith("/") and _TRACK.fullmatch(track):
        return short
    return None


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
