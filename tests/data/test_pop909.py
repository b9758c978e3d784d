"""POP909: beats from the annotation, three programs, the split of the floors, and a download that is verified."""

from __future__ import annotations

import functools
import http.server
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.data.corpora.base import Quarantine, SourceError
from lh_mm.data.corpora.pop909 import PROGRAMS, Pop909, Pop909Config, split_of_number
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.data.sources import SourceConfig, content_hash, resolve_source
from lh_mm.music.midi_io import write_midi
from lh_mm.music.score import Score, make_notes

BEAT_S = 0.7
"""Of the fake songs, whose files say 120 bpm all the same, as POP909's do not say the true tempo."""


def write_song(folder: Path, number: int, tracks: tuple[str, ...] = ("MELODY", "BRIDGE", "PIANO")) -> None:
    tempo = TempoMap.constant(120.0)
    rng = np.random.default_rng(number)
    rows = [
        {"start_s": at, "end_s": at + BEAT_S / 4, "pitch": int(rng.integers(40, 90)), "track": track}
        for at in 0.2 + np.arange(24) * BEAT_S / 4
        for track in range(len(tracks))
    ]
    song = folder / "POP909" / f"{number:03d}"
    song.mkdir(parents=True)
    write_midi(Score(make_notes(rows, tempo), tempo, 6.0, tracks=tracks), song / f"{number:03d}.mid")
    beats = [f"{0.2 + k * BEAT_S} {float(k % 2 == 0)} {float(k % 4 == 0)}" for k in range(9)]
    (song / "beat_midi.txt").write_text("\n".join(beats))
    (song / "key_audio.txt").write_text("0.5\t1.5\tF:min\n1.5\t6.0\tDb:maj\n")
    (song / "versions").mkdir()
    (song / "versions" / f"{number:03d}-v1.mid").write_bytes((song / f"{number:03d}.mid").read_bytes())


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pop909")
    for number in range(1, 13):
        write_song(folder, number)
    return folder


def corpus(root: Path, **source: str) -> Pop909:
    return Pop909Config(source=SourceConfig(url="none", local="pop909", **source)).build("MIT", root)


def test_songs_are_read_on_their_annotated_beats(songs: Path) -> None:
    items = corpus(songs).listing()
    assert [item.id for item in items] == [f"pop909-{n:03d}" for n in range(1, 13)]
    assert not any("versions" in file.name for item in items for file in item.files)
    piece = corpus(songs).read(items[0])
    assert piece.score is not None
    steps = piece.score.notes["start_beat"] * 4
    np.testing.assert_allclose(steps, np.round(steps), atol=0.02)
    assert piece.score.tempo_map.tempo_bpm(1.0) == pytest.approx(60 / BEAT_S)
    notes, tracks = piece.score.notes, piece.score.tracks
    by_name = {name: set(notes["program"][notes["track"] == track].tolist()) for track, name in enumerate(tracks)}
    assert by_name == {name: {program} for name, program in PROGRAMS.items()}
    assert len(set(PROGRAMS.values())) == 3
    assert piece.labels["key"] == "Db:maj" and piece.licence == "MIT"


def test_the_split_is_that_of_the_floors(songs: Path) -> None:
    counts = Counter(split_of_number(number) for number in range(1, 910))
    assert counts == {"test": 90, "valid": 91, "train": 728}
    splits = {item.id: item.split for item in corpus(songs).listing()}
    assert splits["pop909-010"] == "test" and splits["pop909-001"] == splits["pop909-011"] == "valid"
    assert splits["pop909-002"] == "train"


def test_a_song_that_is_not_as_expected_is_quarantined(tmp_path: Path) -> None:
    write_song(tmp_path, 1, tracks=("MELODY", "DRUMS"))
    write_song(tmp_path, 2)
    write_song(tmp_path, 3)
    (tmp_path / "POP909" / "002" / "beat_midi.txt").unlink()
    (tmp_path / "POP909" / "003" / "beat_midi.txt").write_text("0.5 1 1\n0.4 0 0\n")
    adapter = corpus(tmp_path)
    for item, reason in zip(adapter.listing(), ("'DRUMS'", "beat_midi.txt is missing", "increase"), strict=True):
        with pytest.raises(Quarantine, match=reason):
            adapter.read(item)


def test_files_other_than_the_recipes_are_refused(songs: Path, tmp_path: Path) -> None:
    good = content_hash(file for item in corpus(songs).listing() for file in item.files)
    assert len(corpus(songs, content_sha256=good).listing()) == 12
    with pytest.raises(SourceError, match=r"content hash is .* the recipe's source.content_sha256 is 0000"):
        corpus(songs, content_sha256="0" * 64).listing()
    with pytest.raises(SourceError, match="no songs; expected folders POP909/001"):
        corpus(tmp_path).listing()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(songs: Path, tmp_path: Path) -> Iterator[str]:
    """A loopback server with an archive as GitHub packs it: everything inside one folder."""
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for path in sorted(songs.rglob("*")):
            archive.write(path, f"POP909-Dataset-abc/{path.relative_to(songs)}")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/archive.zip"
        running.shutdown()
        thread.join()


def test_it_is_downloaded_once_and_verified(
    server: str, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LH_SOURCES", raising=False)
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    good = content_hash(file for item in corpus(songs).listing() for file in item.files)
    source = {"url": server, "inside": "POP909-Dataset-abc", "content_sha256": good}
    recipe = load_recipe("pop909", [f"corpus.source.{key}={value}" for key, value in source.items()]).config
    prepared = PreparedSet(prepare(recipe, workers=1))
    assert len(prepared) == 12 and prepared.stats["all"]["onsets_on_16ths"] > 0.95
    (tmp_path / "archive.zip").unlink()  # the second time nothing is asked of the network
    assert PreparedSet(prepare(recipe, workers=1)).path == prepared.path
    assert not list((tmp_path / "data" / "sources").glob("*.archive"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "the archive's sha256 is .*, the recipe says 0000"),
        ({"inside": "elsewhere"}, "has no folder 'elsewhere'"),
    ],
)
def test_a_wrong_archive_is_refused(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    monkeypatch.delenv("LH_SOURCES", raising=False)
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    source = SourceConfig(url=server, local="pop909", **{"inside": "POP909-Dataset-abc", **change})
    with pytest.raises(SourceError, match=message):
        resolve_source(source, "MIT")
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("*.archive"))


def test_what_is_no_archive_is_refused(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LH_SOURCES", raising=False)
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    (tmp_path / "archive.zip").write_text("<html>rate limited</html>")
    with pytest.raises(SourceError, match="neither a zip nor a tar"):
        resolve_source(SourceConfig(url=server, local="pop909"), "MIT")


def test_without_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LH_SOURCES", raising=False)
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    source = SourceConfig(url="http://127.0.0.1:9/archive.zip", local="pop909")
    with pytest.raises(SourceError, match=r"Without network put its content .* LH_SOURCES"):
        resolve_source(source, "MIT")


def test_a_local_copy_comes_first(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pop909").symlink_to(songs)
    monkeypatch.setenv("LH_SOURCES", str(tmp_path))
    assert resolve_source(SourceConfig(url="none", local="pop909"), "MIT") == tmp_path / "pop909"


@pytest.mark.real_data
@pytest.mark.slow
def test_all_of_pop909(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 909 songs: the pinned content, nothing in quarantine, and the grid that ticks do not give."""
    monkeypatch.setenv("LH_SOURCES", str(sources))
    prepared = PreparedSet(prepare(load_recipe("pop909").config, root=tmp_path, workers=2))
    assert len(prepared) == 909 and not prepared.quarantine
    assert {split: len(prepared.pieces(split)) for split in ("train", "valid", "test")} == {
        "train": 728, "valid": 91, "test": 90,
    }  # fmt: skip
    assert prepared.stats["all"]["onsets_on_16ths"] >= 0.9
    assert prepared.stats["all"]["notes"] > 1_500_000
