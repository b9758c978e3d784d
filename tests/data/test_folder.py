"""One's own music: what belongs together by name, recordings with and without proof, sound alone, tiny folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.io import write_audio
from lh_mm.core.clock import frames_at
from lh_mm.data.corpora.folder import group_by_piece, track_of
from lh_mm.data.manifest import decide_splits
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedError, PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.data.splits import split_of
from lh_mm.music.compose import compose
from lh_mm.music.midi_io import write_midi

RATE = 24_000


def test_files_are_grouped_by_stem() -> None:
    names = [
        "a.mid", "a.wav", "b.mid", "b.drums.wav", "b.Bass.flac", "c/a.mid", "d.vox.mp3", "d.gtr.mp3", "01.Intro.wav",
        "notes.txt", "e.MID", "my song v1.2.mid", "f.mid", "f.too long a name.wav",
    ]  # fmt: skip
    groups = group_by_piece(names)
    assert groups == {
        "01.Intro": ["01.Intro.wav"],
        "a": ["a.mid", "a.wav"],
        "b": ["b.Bass.flac", "b.drums.wav", "b.mid"],
        "c/a": ["c/a.mid"],
        "d": ["d.gtr.mp3", "d.vox.mp3"],
        "e": ["e.MID"],
        "f": ["f.mid"],
        "f.too long a name": ["f.too long a name.wav"],
        "my song v1.2": ["my song v1.2.mid"],
    }
    tracks = [track_of(*pair) for pair in (("b.Bass.flac", "b"), ("a.wav", "a"), ("01.Intro.wav", "01.Intro"))]
    assert tracks == ["bass", "mix", "mix"]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Composed pieces as files: with their sound, with another's, with stems, sound alone."""
    folder = tmp_path_factory.mktemp("music")
    for seed, name in ((2, "aligned"), (3, "stems"), (9, "foreign")):
        piece = compose(seed, duration_s=12)
        assert piece.score is not None
        synth = Synth.for_labels(piece.labels, channels=1)
        write_midi(piece.score, folder / f"{name}.mid")
        if name == "stems":
            stems = synth.render_stems(piece.score, RATE)
            write_audio(folder / "stems.drums.wav", 0.3 * stems["drums"], RATE)
            rest = np.sum([wave for key, wave in stems.items() if key != "drums"], axis=0)
            write_audio(folder / "stems.rest.wav", 0.3 * rest[:, : -RATE // 2], RATE)
        else:
            write_audio(folder / f"{name}.flac", synth.render(piece.score, RATE), RATE)
    (folder / "foreign.mid").write_bytes((folder / "aligned.mid").read_bytes())
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE * 3) / RATE).astype(np.float32)
    write_audio(folder / "alone.wav", tone, RATE)
    write_audio(folder / "stereo44.wav", np.stack([tone, -tone]), 44_100)
    write_audio(folder / "silent.wav", np.zeros(RATE * 2, np.float32), RATE)
    return folder


@pytest.fixture(scope="module")
def prepared(music: Path, codec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    overrides = [f"path={music}", f"codec.source={codec_folder}", "features.num_bins=24"]
    recipe = load_recipe("folder", overrides).config
    return PreparedSet(prepare(recipe, root=tmp_path_factory.mktemp("sets"), workers=1))


def test_a_recording_is_merged_only_with_proof(prepared: PreparedSet) -> None:
    aligned = prepared.piece("aligned")
    assert aligned.alignment == "proved" and aligned.record["proof"]["onset_f1_25ms"] > 0.8
    assert not aligned.record["rendered"]
    reasons = {entry["id"]: entry["reason"] for entry in prepared.quarantine}
    assert "alignment of notes and sound not proved: onsets of notes and sound meet too little" in reasons["foreign"]
    assert "silent" in reasons["silent"]
    assert "foreign" not in {piece.id for piece in prepared.pieces()}


def test_sound_alone_is_a_piece(prepared: PreparedSet) -> None:
    alone = prepared.piece("alone")
    assert alone.num_notes == 0 and alone.tracks == ("mix",) and alone.alignment == "none"
    assert prepared.score(alone) is None and prepared.notes(alone).shape == (0,)
    assert prepared.codes(alone, "mix").shape == (alone.num_frames, prepared.num_codebooks)
    assert alone.num_frames == 3 * 75
    # Both channels of the other one cancel out: that is silence.
    assert "stereo44" in {entry["id"] for entry in prepared.quarantine}


def test_named_tracks_are_equally_long_and_share_one_gain(prepared: PreparedSet) -> None:
    stems = prepared.piece("stems")
    assert stems.tracks == ("drums", "rest") and stems.alignment == "proved"
    drums, rest = (prepared.audio(stems, track) for track in stems.tracks)
    assert len(drums) == len(rest) and not rest[-RATE // 4 :].any() and drums.any()
    assert prepared.codes(stems, "drums").shape == prepared.codes(stems, "rest").shape
    assert prepared.features(stems, "rest").shape == (stems.num_frames, 24)
    assert prepared.audio_tracks == ("drums", "mix", "rest")


def test_kept_sound_has_the_asked_loudness_and_nothing_clips(prepared: PreparedSet) -> None:
    from lh_mm.audio.loudness import integrated_loudness

    wave = prepared.audio(prepared.piece("aligned"), "mix")
    assert np.abs(wave).max() <= 1.0
    assert integrated_loudness(wave[None], RATE) == pytest.approx(-16, abs=1.5)


def test_notes_without_a_recording_are_played(music: Path, codec_folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "music"
    own.mkdir()
    (own / "x.mid").write_bytes((music / "aligned.mid").read_bytes())
    base = [f"path={own}", f"codec.source={codec_folder}", "features=null"]
    played = PreparedSet(prepare(load_recipe("folder", base).config, root=tmp_path / "a", workers=1))
    (piece,) = played.pieces("train")  # one piece is enough to train on
    assert piece.alignment == "exact" and piece.record["rendered"] and "file" not in piece.record["audio"]["mix"]
    assert len(played.audio(piece, "mix")) == round(piece.duration_s * RATE)
    silent = PreparedSet(
        prepare(load_recipe("folder", [*base, "audio.render=none"]).config, root=tmp_path / "b", workers=1)
    )
    assert silent.pieces()[0].tracks == () and silent.pieces()[0].alignment == "none"
    with pytest.raises(PreparedError, match="has no audio track 'mix'"):
        silent.audio(silent.pieces()[0], "mix")


def test_notes_stay_where_they_were(prepared: PreparedSet, music: Path) -> None:
    from lh_mm.music.midi_io import read_midi

    piece = prepared.piece("aligned")
    before = read_midi(music / "aligned.mid", apply_sustain=True).notes
    np.testing.assert_allclose(prepared.notes(piece)["start_s"], np.sort(before["start_s"]), atol=1e-9)
    assert frames_at(prepared.notes(piece)["start_s"], 75.0).max() < piece.num_frames


@given(st.lists(st.text("abcdef/", min_size=1, max_size=6), min_size=1, max_size=30, unique=True))
def test_every_set_has_something_to_train_on(ids: list[str]) -> None:
    splits = decide_splits([{"id": piece, "split": None} for piece in ids])
    assert "train" in splits
    if len(ids) >= 3:
        assert set(splits) == {"train", "valid", "test"}
    moved = sum(split != split_of(piece) for piece, split in zip(ids, splits, strict=True))
    assert moved <= 3
    assert decide_splits([{"id": piece, "split": None} for piece in reversed(ids)]) == splits[::-1]


def test_splits_that_the_corpus_fixed_are_never_moved() -> None:
    pieces = [{"id": str(i), "split": "test"} for i in range(5)]
    assert decide_splits(pieces) == ["test"] * 5
