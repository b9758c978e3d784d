"""Groove and JSB: splits, labels, a packed local copy, and what is not the corpus."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.core.files import sha256_file
from lh_mm.data.corpora.base import Quarantine, SourceError
from lh_mm.data.corpora.groove import Groove, GrooveConfig
from lh_mm.data.corpora.jsb import Jsb, JsbConfig
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.data.sources import SourceConfig, resolve_source
from lh_mm.data.symbolic import ChoraleConfig
from lh_mm.music.midi_io import write_midi
from lh_mm.music.score import Score, make_notes

HEADER = "drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,audio_filename,duration,split"


def drums(path: Path, drum: bool = True) -> None:
    tempo = TempoMap.constant(100.0)
    notes = [{"start_beat": i, "end_beat": i + 0.2, "pitch": 36, "drum": drum} for i in range(8)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(Score(make_notes(notes, tempo), tempo, 5.0), path)


@pytest.fixture
def performances(tmp_path: Path) -> Path:
    root = tmp_path / "groove"
    lines = [HEADER]
    for number, (split, style) in enumerate([("train", "funk/groove1"), ("validation", "jazz"), ("test", "rock")]):
        name = f"drummer1/session1/{number}_x.mid"
        drums(root / name, drum=number < 2)
        lines.append(f"drummer1,s,d/{number},{style},{100 + number},beat,4-4,{name},,5.0,{split}")
    lines.append("drummer1,s,d/9,pop,99,fill,6-8,drummer1/gone.mid,,5.0,train")
    (root / "info.csv").write_text("\n".join(lines))
    return root


def groove(root: Path) -> Groove:
    return GrooveConfig(source=SourceConfig(url="none", local="groove")).build("CC BY 4.0", root)


def test_performances_have_their_split_and_labels(performances: Path) -> None:
    items = groove(performances).listing()
    assert [(item.id, item.split) for item in items] == [
        ("groove-drummer1-session1-0_x", "train"), ("groove-drummer1-session1-1_x", "valid"),
        ("groove-drummer1-session1-2_x", "test"),
    ]  # fmt: skip
    piece = groove(performances).read(items[0])
    assert piece.labels == {
        "style": "funk", "tempo_bpm": 100.0, "meter": "4/4", "beat_type": "beat", "drummer": "drummer1"
    }  # fmt: skip
    assert piece.score is not None
    assert np.allclose(piece.score.notes["start_beat"] % 1, 0, atol=1e-3)
    with pytest.raises(Quarantine, match="not on the drum channel"):
        groove(performances).read(items[2])


def test_a_folder_that_is_not_the_corpus_says_so(tmp_path: Path, performances: Path) -> None:
    with pytest.raises(SourceError, match=r"info\.csv is missing"):
        groove(tmp_path).listing()
    (performances / "info.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="expected the columns"):
        groove(performances).listing()


def test_a_local_archive_is_checked_and_unpacked(
    performances: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "sources" / "groove" / "g.zip"
    packed.parent.mkdir(parents=True)
    with zipfile.ZipFile(packed, "w") as archive:
        for file in performances.rglob("*"):
            if file.is_file():
                archive.write(file, f"groove/{file.relative_to(performances)}")
    monkeypatch.setenv("LH_SOURCES", str(tmp_path / "sources"))
    monkeypatch.setenv("LH_DATA", str(tmp_path / "data"))
    source = SourceConfig(url="none", sha256=sha256_file(packed), local="groove", archive="g.zip", inside="groove")
    assert len(groove(resolve_source(source, "CC")).listing()) == 3
    with pytest.raises(SourceError, match="sha256"):
        resolve_source(source.model_copy(update={"sha256": "0" * 64, "url": "other"}), "CC")


def table(root: Path) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    pieces = {
        split: [rng.integers(48, 72, (24, 4)).tolist() for _ in range(count)]
        for split, count in (("train", 3), ("valid", 1), ("test", 2))
    }
    pieces["train"][0][0][3] = -1
    pieces["test"][1] = [[200, 60, 60, 60]]
    (root / "Jsb16thSeparated.json").write_text(json.dumps(pieces))
    return root


def jsb(root: Path) -> Jsb:
    return JsbConfig(source=SourceConfig(url="none", local="jsb")).build("public domain", root)


def test_chorales_have_their_split_and_their_rests(tmp_path: Path) -> None:
    corpus = jsb(table(tmp_path))
    items = corpus.listing()
    assert Counter(item.split for item in items) == {"train": 3, "valid": 1, "test": 2}
    piece = corpus.read(items[0])
    assert piece.score is not None
    assert set(piece.score.notes["track"].tolist()) == {0, 1, 2, 3}
    first_bass = piece.score.notes[piece.score.notes["track"] == 3][0]
    assert first_bass["start_beat"] == 0.25
    with pytest.raises(Quarantine, match="test 001"):
        corpus.read(items[-1])
    with pytest.raises(SourceError, match="missing"):
        jsb(tmp_path / "nowhere").listing()


@pytest.mark.real_data
def test_real_chorales_and_performances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: Path) -> None:
    """All that is there, and the tokens of the published figures."""
    monkeypatch.setenv("LH_SOURCES", str(sources))
    monkeypatch.setenv("LH_DATA", str(tmp_path))
    chorales = PreparedSet(prepare(load_recipe("jsb").config, root=tmp_path, workers=1))
    assert {split: len(chorales.pieces(split)) for split in ("train", "valid", "test")} == {
        "train": 229, "valid": 76, "test": 77
    }  # fmt: skip
    raw = json.loads((sources / "jsb" / "Jsb16thSeparated.json").read_text())
    rows = ChoraleConfig().build(chorales)
    for piece in chorales.pieces("valid"):
        score = chorales.score(piece)
        assert score is not None
        steps = np.array(raw["valid"][int(piece.id.rpartition("-")[2])])
        assert rows.vocabulary.encode(score).ids.tolist() == np.where(steps < 0, 128, steps).ravel().tolist()
    performances = PreparedSet(prepare(load_recipe("groove").config, root=tmp_path, workers=1))
    assert {split: len(performances.pieces(split)) for split in ("train", "valid", "test")} == {
        "train": 897, "valid": 124, "test": 129
    }  # fmt: skip
