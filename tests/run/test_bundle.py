"""A bundle is self-contained, opens without unpickling, and says what is wrong with it when something is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lh_mm.core.files import read_json, write_json
from lh_mm.core.streams import SequenceSpec, StreamSpec
from lh_mm.data.bar_rows import MmmConfig
from lh_mm.data.rows import SequenceConfig
from lh_mm.data.symbolic import ChoraleConfig, MusenetConfig, PerformanceConfig, RemiConfig
from lh_mm.music.bars import DRUMS
from lh_mm.music.chorale import Chorale
from lh_mm.music.mmm import Mmm, told_ids
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import Performance
from lh_mm.music.remi import Remi
from lh_mm.music.tokenizer import Vocabulary
from lh_mm.run.bundle import Bundle, save_bundle
from lh_mm.run.info import info
from lh_mm.run.runs import find_bundle, find_run

OLD = Path(__file__).parent / "bundle_v1"


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_run / "bundle", folder)
    return folder


def test_a_bundle_alone_is_enough(copy: Path, codec_folder: Path) -> None:
    bundle = Bundle.load(copy)
    assert sum(p.numel() for p in bundle.model.parameters()) == bundle.manifest["num_parameters"]
    assert bundle.codec is not None
    assert bundle.features is not None
    assert {control.name for control in bundle.spec.controls} >= {"style", "key", "tempo", "density"}
    kinds = {path.suffix for path in copy.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".yaml", ".safetensors", ".md"}


def test_bundles_of_format_1_stay_readable() -> None:
    bundle = Bundle.load(OLD)
    assert bundle.manifest["format_version"] == 1
    assert list(bundle.model.parameters())
    assert bundle.codec is not None


def test_a_format_of_the_future_is_refused(copy: Path) -> None:
    write_json(copy / "bundle.json", {**read_json(copy / "bundle.json"), "format_version": 99})
    with pytest.raises(ValueError, match="format_version 99"):
        Bundle.load(copy)


def test_damaged_weights_name_their_file(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Bundle.load(copy).weights()


def test_a_folder_that_is_no_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no bundle\.json"):
        Bundle.load(tmp_path)


def test_info_says_what_can_be_asked(tiny_run: Path) -> None:
    text = info(str(tiny_run))
    for word in ("midi_to_audio", "audio_to_midi", "style =", "codec", "synthetic", "licence"):
        assert word in text


def of_notes_alone(tiny_run: Path, path: Path, vocabulary: Vocabulary, sequence: SequenceConfig) -> Path:
    """A bundle without a codec that nobody trained."""
    experiment = Bundle.load(tiny_run / "bundle").experiment.model_copy(update={"sequence": sequence})
    save_bundle(
        path, experiment=experiment, spec=SequenceSpec((StreamSpec("midi", "midi", vocabulary.size),), 75.0, False),
        vocabulary=vocabulary, weights={}, codec=None, features=None, card="", num_parameters=0,
        training={
            "data": "x", "fingerprint": "y", "pieces": 1, "hours": 1.0, "licence": "z", "steps": 1, "minutes": 1.0,
        },
    )  # fmt: skip
    return path


def test_info_says_what_can_be_asked_of_mmm(tiny_run: Path, tmp_path: Path) -> None:
    borders = tuple(range(1, 10))
    vocabulary = Mmm({DRUMS: borders, 33: borders, 0: borders})
    text = info(str(of_notes_alone(tiny_run, tmp_path / "mmm", vocabulary, MmmConfig(bars=8, max_tracks=5))))
    lines = text.splitlines()
    for line in (
        "tokens       mmm: 485 ids, 12 steps a beat",
        "window       8 bars, up to 5 tracks",
        "instruments  0, 33, drums",
    ):
        assert line in lines
    told = {words[1]: (int(words[3]), int(words[5])) for words in map(str.split, lines) if words[0] == "attribute"}
    assert set(told) == {"density", "min_polyphony", "max_polyphony", "min_duration", "max_duration"}
    for name, (least, most) in told.items():  # all that is said is legal, and nothing beyond it
        assert len(told_ids({name.upper(): least}) + told_ids({name.upper(): most})) == 2
        for beyond in (least - 1, most + 1):
            with pytest.raises(ValueError, match="should lie in"):
                told_ids({name.upper(): beyond})
    unknown = info(str(of_notes_alone(tiny_run, tmp_path / "old", Mmm(), MmmConfig())))
    assert "instruments" not in unknown  # the bundle does not store them


@pytest.mark.parametrize(
    ("vocabulary", "sequence", "expected"),
    [
        (Performance(), PerformanceConfig(), "performance: 388 ids, 100 steps a second"),
        (Musenet(), MusenetConfig(), "musenet: 4097 ids, 48 steps a beat"),
        (Chorale(), ChoraleConfig(), "chorale: 129 ids, 4 steps a beat"),
        (Remi((0,), 24), RemiConfig(positions=24), "remi: 218 ids, 6 steps a beat"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_info_says_the_kind_and_the_grid_of_tokens(
    tiny_run: Path, tmp_path: Path, vocabulary: Vocabulary, sequence: SequenceConfig, expected: str
) -> None:
    lines = info(str(of_notes_alone(tiny_run, tmp_path / "notes", vocabulary, sequence))).splitlines()
    assert f"tokens       {expected}" in lines
    assert not any(line.startswith(("window", "attribute", "instruments")) for line in lines)


def test_runs_are_found_as_people_name_them(tiny_run: Path) -> None:
    runs = tiny_run.parents[1]
    for name in (str(tiny_run), tiny_run.name, f"demo/{tiny_run.name}", "latest"):
        assert find_run(name, runs) == tiny_run
    assert find_bundle(str(tiny_run)) == tiny_run / "bundle"
    with pytest.raises(ValueError, match="did you mean latest"):
        find_run("latets", runs)
