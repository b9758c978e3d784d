"""Every measure is taken, says what it was taken on, and lands in a table where equal things compare."""

from __future__ import annotations

from pathlib import Path

import pytest
import wandb

from lh_mm.core.assets import asset
from lh_mm.core.clock import TempoMap
from lh_mm.core.files import read_json, write_json
from lh_mm.data import held_out
from lh_mm.data.held_out import held_out_crops
from lh_mm.music.score import Score, make_notes
from lh_mm.run.assemble import prepare_data
from lh_mm.run.bundle import Bundle
from lh_mm.run.compare import compare, settings_that_differ
from lh_mm.run.evaluate import evaluate
from lh_mm.run.judging_notes import _note_scores
from lh_mm.run.requests import Asker
from lh_mm.run.scores import scores_of
from lh_mm.run.train import train

SMALL = (
    "crop_s=0.3", "num_crops=2", "num_transcriptions=1", "num_infills=1", "num_pieces=1", "likelihood_rows=4",
    "batch_size=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tiny_run: Path) -> Path:
    patch = pytest.MonkeyPatch()
    # Crops here are a third of a second.
    patch.setattr(held_out.held_out_crops, "__kwdefaults__", {**held_out_crops.__kwdefaults__, "min_notes": 1})
    evaluate(str(tiny_run), SMALL)
    patch.undo()
    return tiny_run


def test_an_evaluation_says_what_it_was_made_of(evaluated: Path) -> None:
    evaluation = read_json(evaluated / "evaluation.json")
    assert evaluation["split"] == "test"
    assert evaluation["data"].startswith("demo/")  # the recipe keeps the name that demo.yaml gives it
    assert set(evaluation["likelihood"]["tasks"]) == {"midi_to_audio", "audio_to_midi", "joint", "infill"}
    for streams in evaluation["likelihood"]["tasks"].values():
        for sums in streams.values():
            assert sums["tokens"] > 0
            assert 0 < sums["nats"] / sums["tokens"] < 12
            assert sums["seconds"] > 0
    rows = evaluation["four_rows"]["rows"]
    assert {"original", "codec", "generated", "shuffled"} <= set(rows)
    assert rows["original"]["onset_f1_50ms"]["num"] == 2
    assert evaluation["transcription"]["num_crops"] == 1
    assert evaluation["infill"]["num_crops"] == 1
    assert set(evaluation["infill"]) >= {"own", "shuffled", "drums", "hole_s", "definition"}
    assert "grid" in evaluation["music"]["generated"]["scale_consistency"]
    assert evaluation["speed"]["realtime"] > 0
    assert read_json(evaluated / "bundle" / "scores.json")["four_rows"] == evaluation["four_rows"]
    assert sorted(path.name for path in (evaluated / "crops").iterdir())[0] == "0_codec.wav"


def test_notes_are_judged_against_their_own_and_others() -> None:
    tempo = TempoMap.constant(120.0)

    def score(*pitches: int, drum: bool = False) -> Score:
        rows = [{"start_s": i * 0.5, "end_s": i * 0.5 + 0.4, "pitch": p, "drum": drum} for i, p in enumerate(pitches)]
        return Score(make_notes(rows, tempo), tempo, 4.0)

    truths, made = [score(60, 62), score(70, 72), score(36, drum=True)], [score(60, 62), score(70, 40), score(36)]
    found = _note_scores(truths, made, ["a", "b", "c"])
    assert found["own"]["value"] == pytest.approx(0.75)  # of the two that have pitched notes
    assert found["own"]["num"] == 2
    assert found["shuffled"]["value"] == 0.0
    assert found["drums"]["value"] == 0.0  # written down as a pitched note
    assert found["drums"]["num"] == 1


def test_a_repeat_measures_the_same(evaluated: Path, tmp_path: Path) -> None:
    evaluate(
        str(evaluated),
        ["num_crops=0", "num_transcriptions=0", "num_infills=0", "num_pieces=0", "likelihood_rows=4"],
        tmp_path,
    )
    again, first = (read_json(path / "evaluation.json")["likelihood"] for path in (tmp_path, evaluated))
    assert again == first


def test_a_run_is_measured_on_other_music(evaluated: Path, tmp_path: Path, codec_folder: Path) -> None:
    before = (evaluated / "bundle" / "scores.json").read_bytes()
    recipe = tmp_path / "other.yaml"
    other = (
        "corpus: {pieces: 3, first_seed: 900, duration_s: 8, kits_held_out: [kit00, kit01, kit02, kit03, kit04, kit05]}"
    )
    front_end = "features: {num_bins: 24}"
    base = f"base: {asset('data_recipes')}/smoke.yaml"
    recipe.write_text(f"{base}\nname: other\n{other}\ncodec: {{source: {codec_folder}}}\n{front_end}\n")
    only = ["num_crops=0", "num_transcriptions=0", "num_infills=0", "num_pieces=0", "likelihood_rows=2"]
    assert evaluate(str(evaluated), only, on=str(recipe)).startswith("demo on other/")
    assert read_json(evaluated / "on-other" / "evaluation.json")["data"].startswith("other/")
    assert (evaluated / "bundle" / "scores.json").read_bytes() == before
    recipe.write_text(recipe.read_text().replace(front_end, "features: {num_bins: 36}"))
    with pytest.raises(ValueError, match=r"--on .*other.yaml: its features are .*36.*, the bundle's are .*24"):
        evaluate(str(evaluated), only, on=str(recipe))


def test_crops_are_the_same_whoever_asks(evaluated: Path) -> None:
    from lh_mm.run.bundle import Bundle

    dataset = prepare_data(Bundle.load(evaluated / "bundle").experiment)
    first, second = (held_out_crops(dataset, "test", 3, 2.0, seed=4) for _ in range(2))
    assert first == second
    assert all(piece.split == "test" for piece, _ in first)


def test_a_table_of_runs(evaluated: Path, tmp_path: Path) -> None:
    text = compare([str(evaluated)], tmp_path, wandb="offline")
    assert "demo" in text
    assert "settings are equal" in text
    for name in ("report.html", "table.md", "table.json"):
        assert (tmp_path / name).stat().st_size > 100
    wandb.teardown()  # a run that is finished is still being written; a process waits for that when it ends
    (logged,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = logged.read_bytes()
    assert b"codes_per_second" in content
    assert str(tmp_path).encode() not in content  # what is shared says nothing of the machine
    assert str(Path.home()).encode() + b"/" not in content
    with pytest.raises(ValueError, match="--out"):
        compare([str(evaluated)], wandb="offline")


def test_tables_are_made_again_without_weights(evaluated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "own.yaml").write_text(f"base: {asset('experiments/demo.yaml')}\n", encoding="utf-8")
    first = tmp_path / "first"
    compare([str(evaluated)], first)
    (record,) = first.glob("runs/demo/*")
    assert sorted(file.name for file in record.iterdir()) == ["evaluation.json", "experiment.yaml", "metrics.csv"]
    assert "command" not in read_json(record / "evaluation.json")["environment"]
    compare([str(folder)], tmp_path / "again", runs_dir=first / "runs")
    assert read_json(tmp_path / "again" / "table.json") == read_json(first / "table.json")
    before = {file.name: file.read_bytes() for file in record.iterdir()}
    compare([str(folder)], first, runs_dir=first / "runs")  # in its own place
    assert {file.name: file.read_bytes() for file in record.iterdir()} == before


def test_what_differs_is_said_by_key() -> None:
    trees = {"a": {"model": {"dim": 1, "heads": 2}}, "b": {"model": {"dim": 3, "heads": 2}}}
    assert settings_that_differ(trees) == "model.dim: 1 (a); 3 (b)"
    trees["c"] = {"model": {"dim": 3, "layers": 4}}
    first, last = settings_that_differ(trees).splitlines()
    assert first == "model.dim: 1 (a); 3 (b, c)"
    assert last.startswith("and 2 keys that only some kinds")


def test_an_unknown_setting_is_refused(evaluated: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'num_crops'"):
        evaluate(str(evaluated), ["num_corps=3"])


def test_notes_alone_are_judged_beside_their_floor(tiny: tuple[str, ...], tmp_path: Path) -> None:
    small = [o for o in tiny if not o.startswith("sequence.")]
    experiment = str(asset("experiments/baseline/pop909_remi.yaml"))
    small += ["sequence.length=64", "sequence.context=32", "evaluate.num_pieces=1", "evaluate.piece_s=4"]
    run = train(experiment, [*small, "trainer.max_minutes=null"], runs=tmp_path)
    text = evaluate(str(run), ["ngram_order=2"])
    evaluation = read_json(run / "evaluation.json")
    events = evaluation["likelihood"]["tasks"]["midi_only"]["events"]
    floor = evaluation["floor"]
    # One END a piece is a target of the model's and not of the n-gram's.
    assert 0 <= events["tokens"] - floor["tokens"] <= 3
    assert events["notes"] == floor["notes"]
    assert "n-grams" in text
    # What older versions measured of composed music does not compare: left out of scores, measured again in a table.
    old = {**evaluation, "measures": 1, "symbolic": {"overlap_mean": 0.9}}
    assert "illegal" not in scores_of(old) and "illegal" in scores_of(evaluation)
    write_json(run / "evaluation.json", old)
    compare([str(run)])
    assert "overlap_data_mean" in read_json(run / "evaluation.json")["symbolic"]
    write_json(run / "evaluation.json", old)
    (run / "bundle").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="its weights are gone"):
        compare([str(run)])


def test_a_merged_bundle_of_notes_alone_is_evaluated(tiny: tuple[str, ...], tmp_path: Path) -> None:
    run = train("demo", [*tiny, "sequence.tasks=[{kind: midi_only}]", "trainer.max_steps=2"], runs=tmp_path)
    evaluate(str(run), ["likelihood_rows=2", "num_pieces=0"])
    assert "midi_only" in read_json(run / "evaluation.json")["likelihood"]["tasks"]
    request = Asker(Bundle.load(run / "bundle")).joint(10, 10)  # composing is the same without sound
    assert [stream.role for stream in request.events] == ["generated"]
    assert request.audio == ()
