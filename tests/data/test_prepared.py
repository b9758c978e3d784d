"""A prepared set read back: the same notes, sound and codes that went in, from any process, or a clear refusal."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lh_mm.audio.features import ConstantQConfig
from lh_mm.audio.instruments.synth import Synth
from lh_mm.data.check import check
from lh_mm.data.prepared import PreparedError, PreparedSet
from lh_mm.models.load import load_codec
from lh_mm.music.compose import compose


def test_what_is_stored_is_what_was_composed_played_and_encoded(smoke: PreparedSet) -> None:
    codec = load_codec(smoke.about["codec"]["source"])
    transform = ConstantQConfig(num_bins=24).build(smoke.sample_rate, smoke.rate_hz)
    for piece in smoke.pieces():
        made = compose(int(piece.id.split("-")[1]), duration_s=8)
        assert made.id == piece.id and made.score is not None
        score = smoke.score(piece)
        assert score is not None
        np.testing.assert_allclose(np.sort(made.score.notes["start_s"]), score.notes["start_s"])
        assert score.tracks == made.score.tracks and score.meters == made.score.meters
        assert score.tempo_map.tempo_bpm() == pytest.approx(made.score.tempo_map.tempo_bpm())
        wave = Synth.for_labels(made.labels, channels=1).render(score, smoke.sample_rate)[0]
        np.testing.assert_array_equal(smoke.audio(piece, "mix"), wave)
        sound = torch.from_numpy(wave)[None]
        np.testing.assert_array_equal(smoke.codes(piece, "mix"), codec.encode(sound[None])[0].numpy())
        np.testing.assert_allclose(smoke.features(piece, "mix"), transform(sound)[0].numpy(), atol=2e-3)
        assert piece.num_frames == len(smoke.codes(piece, "mix"))
        assert piece.licence.startswith("CC0")


def test_slices_are_views_of_the_file(smoke: PreparedSet) -> None:
    piece = smoke.pieces()[0]
    for array in (smoke.notes(piece), smoke.codes(piece, "mix"), smoke.features(piece, "mix")):
        assert isinstance(array, np.memmap) and not array.flags.writeable
    assert smoke.codes(piece, "mix").dtype == np.int16 and smoke.features(piece, "mix").dtype == np.float16


def test_a_set_travels_as_a_path(smoke: PreparedSet) -> None:
    smoke.codes(smoke.pieces()[0], "mix")
    assert len(pickle.dumps(smoke)) < 50_000
    again = copy.copy(smoke)  # by the same state as a pickle
    assert not again._maps and smoke._maps
    np.testing.assert_array_equal(again.codes(again.pieces()[1], "mix"), smoke.codes(smoke.pieces()[1], "mix"))


def test_a_set_is_found_by_its_name_if_it_is_the_only_one(smoke: PreparedSet, tmp_path: Path) -> None:
    assert PreparedSet(smoke.path.parent).path == smoke.path
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "DONE").touch()
    with pytest.raises(PreparedError, match="holds 2 sets; name one of them: one, two"):
        PreparedSet(tmp_path)


def test_what_is_no_set_is_refused_with_advice(smoke: PreparedSet, tmp_path: Path) -> None:
    with pytest.raises(PreparedError, match="there is no folder"):
        PreparedSet(tmp_path / "absent")
    with pytest.raises(PreparedError, match=r"no prepared set .*data\.folder"):
        PreparedSet(tmp_path)
    begun = tmp_path / "begun"
    shutil.copytree(smoke.path, begun)
    (begun / "DONE").unlink()
    with pytest.raises(PreparedError, match=r"not finished .* it goes on"):
        PreparedSet(begun)
    with pytest.raises(PreparedError, match="has no piece 'x'"):
        smoke.piece("x")
    with pytest.raises(PreparedError, match="no audio track 'drums'; it has mix"):
        smoke.codes(smoke.pieces()[0], "drums")


def test_damage_is_found(smoke: PreparedSet, tmp_path: Path) -> None:
    assert check(smoke) == []
    damages = {
        "codes.mix.0.npy": "codes of mix lie in",
        "features.mix.0.npy": "not finite",
        "notes.0.npy": "not in order",
    }
    for name, message in damages.items():
        damaged = tmp_path / name
        shutil.copytree(smoke.path, damaged)
        array = np.load(damaged / name)
        if name.startswith("notes"):
            array["start_s"][:20] = array["start_s"][:20][::-1] + 0.5
        else:
            array[5:8] = 4000 if name.startswith("codes") else np.nan
        np.save(damaged / name, array)
        problems = check(PreparedSet(damaged))
        assert problems and any(message in problem for problem in problems), problems
    (damaged / "features.mix.1.npy").write_bytes(b"\x93NUMPY")
    assert any("damaged" in problem for problem in check(PreparedSet(damaged)))
    (damaged / "codes.mix.1.npy").unlink()
    assert any("no codes.mix.1.npy" in problem for problem in check(PreparedSet(damaged)))


def test_the_manifest_is_plain_text(smoke: PreparedSet) -> None:
    lines = (smoke.path / "pieces.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [piece.id for piece in smoke.pieces()]
    assert {piece.split for piece in smoke.pieces()} == {"train", "valid", "test"}
    assert smoke.stats["all"]["pieces"] == 3 and smoke.stats["all"]["onsets_on_16ths"] > 0.9
