"""Bundles of notes alone asked for music: from nothing, gone on with, bars filled, tracks added; mistakes by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lh_mm.cli.main import app
from lh_mm.core.assets import asset
from lh_mm.core.clock import TempoMap
from lh_mm.core.files import read_json
from lh_mm.generate.sampling import Sampling
from lh_mm.music.bar_score import bars_between, put_back, track_keys, uncut_notes
from lh_mm.music.bars import DRUMS, bar_lines, window_of
from lh_mm.music.midi_io import read_midi
from lh_mm.music.midi_write import write_midi
from lh_mm.music.score import Score
from lh_mm.music.score import make_notes as make_table
from lh_mm.music.tokenizer import decode_tokens
from lh_mm.run import compose as compose_module
from lh_mm.run import compose_bars
from lh_mm.run.assemble import prepare_data
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose import Beginning, Composed, beginning_of, compose, compose_tried
from lh_mm.run.compose_bars import NoteOptions
from lh_mm.run.compose_windows import WindowJob, fill_windows
from lh_mm.run.evaluate import evaluate
from lh_mm.run.generate import Musician
from lh_mm.run.generate_files import generate
from lh_mm.run.note_flags import parse_attributes, parse_instruments
from lh_mm.run.notes import make_notes, make_samples
from lh_mm.run.scores import scores_of
from lh_mm.run.train import train

SEQUENCES = {
    "remi": "{kind: remi, length: 64, context: 32}", "performance": "{kind: performance, length: 64}",
    "musenet": "{kind: musenet, length: 64, context: 32, structure: true}",
    "miditok": "{kind: miditok, length: 64, context: 32}", "mmm": "{kind: mmm, bars: 4, length: 512}",
}  # fmt: skip
MODELS = {
    "musenet": "{kind: musenet, layers: 1, dim: 32, heads: 2, max_positions: 65}",
    "mmm": "{kind: hf, architecture: gpt2, shape: {n_layer: 1, n_head: 2, n_embd: 32, n_positions: 513}}",
    "performance": "{kind: music_transformer, layers: 1, dim: 32, heads: 2, attention_dim: 32, ff_dim: 32}",
}  # fmt: skip


@pytest.fixture(scope="module")
def bundles(tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("notes")
    found = {}
    for kind, sequence in SEQUENCES.items():
        small = [
            o for o in tiny if not o.startswith("sequence.") and (kind not in MODELS or not o.startswith("model."))
        ]
        if kind in MODELS:
            small.append(f"model={MODELS[kind]}")
        experiment = str(asset("experiments/baseline/pop909_remi.yaml"))
        changes = [f"name=notes-{kind}", f"sequence={sequence}", "trainer.max_minutes=null", "trainer.max_steps=2"]
        changes.append("data.overrides.duration_s=24")
        run = train(experiment, [*small, *changes], runs=folder)
        found[kind] = Bundle.load(run / "bundle")
    return found


@pytest.fixture(scope="module")
def piece(bundles: dict[str, Bundle]) -> Score:
    dataset = prepare_data(bundles["mmm"].experiment)
    score = dataset.score(dataset.pieces()[0])
    assert score is not None
    return score


def without_times(score: Score) -> list[tuple[Any, ...]]:
    return [tuple(note) for note in score.notes]


@pytest.mark.parametrize("kind", ["remi", "performance", "musenet", "miditok"])
def test_pieces_are_longer_than_a_window_and_rows_do_not_know_each_other(bundles: dict[str, Bundle], kind: str) -> None:
    bundle = bundles[kind]
    begun = [Beginning(until_s=200.0, seed=1), Beginning(seed=2)]
    both, _ = compose(bundle, begun, Sampling(), max_tokens=150)
    assert len(both[1].ids) <= 150 + 8
    assert max(len(made.ids) for made in both) > 64
    assert both[0].score.duration_s == pytest.approx(200.0, abs=0.01) or both[0].num_drawn >= 150
    assert all(made.num_illegal == 0 for made in both)
    alone, _ = compose(bundle, begun[1:], Sampling(), max_tokens=150)
    assert alone[0].ids.tolist() == both[1].ids.tolist()
    free, _ = compose(bundle, begun[1:], Sampling(), max_tokens=150, masked=False)
    assert free[0].num_illegal > 0 or kind == "performance"


@pytest.mark.parametrize("kind", ["remi", "performance", "musenet", "miditok"])
def test_a_continuation_keeps_its_prompt_and_does_not_cut_held_notes(
    bundles: dict[str, Bundle], piece: Score, kind: str
) -> None:
    bundle = bundles[kind]
    begun = beginning_of(bundle, piece, 5.0, 7.0, {}, seed=0)
    tokens = bundle.vocabulary.encode(piece)  # type: ignore[union-attr]
    count = len(begun.ids)
    assert begun.ids.tolist() == tokens.ids[:count].tolist()
    assert tokens.times_s[count - 1] < 5.0
    (made,), _ = compose(bundle, [begun], Sampling())
    assert made.ids[:count].tolist() == begun.ids.tolist()
    starts = piece.notes["start_s"][piece.notes["start_s"] < 4.9]
    assert np.sum(made.score.notes["start_s"] < 4.9) >= 0.9 * len(starts)
    score, about = make_notes(bundle, None, piece, prompt_s=5.0, duration_s=7.0)
    assert about["task"] == "continue"
    assert score.duration_s <= 7.01


def test_bars_are_filled_across_tracks_and_all_else_stays_bit_for_bit(bundles: dict[str, Bundle], piece: Score) -> None:
    keys = track_keys(piece)
    chosen = (keys[0][0], keys[1][0])
    lines = bar_lines(piece)
    span = tuple(float(piece.tempo_map.to_seconds(lines[bar])) for bar in (3, 6))
    bars = bars_between(piece, *span)
    assert list(bars) == [3, 4, 5]
    before = without_times(piece)
    score, about = make_notes(bundles["mmm"], None, piece, hole_s=span, options=NoteOptions(tracks=chosen))  # type: ignore[arg-type]
    assert about["task"] == "infill"
    assert without_times(piece) == before
    beats = np.rint((piece.notes["start_beat"] - lines[0]) * 12)
    edges = np.rint((lines - lines[0]) * 12)
    inside = np.isin(piece.notes["track"], chosen) & (beats >= edges[3]) & (beats < edges[6])
    assert inside.any()
    kept = [note for note, gone in zip(before, inside, strict=True) if not gone]
    after = without_times(score)
    assert all(note in after for note in kept)
    new = [note for note in after if note not in kept]
    assert new
    for note in new:
        assert note[8] in chosen
        assert edges[3] <= np.rint((note[2] - lines[0]) * 12) < edges[6]


def test_what_is_held_into_a_bar_is_not_struck_again(piece: Score) -> None:
    keys = track_keys(piece)
    index = next(i for i, (_, instrument) in enumerate(keys) if instrument != DRUMS)
    window = window_of(piece, 2, 4)
    begin = int(window.lines[1])
    held = window.tracks[index].notes
    fills = {(index, 1): np.array([[begin, begin + 6, 1], [begin + 12, begin + 24, 2]], np.int64)}
    made = put_back(piece, window, fills, keys)
    own = made.notes[(made.notes["track"] == keys[index][0]) & np.isin(made.notes["pitch"], [1, 2])]
    assert len(own) == 2
    first = own[own["pitch"] == 1][0]
    again = put_back(made, window, {(index, 1): np.zeros((0, 3), np.int64)}, keys)
    assert len(again.notes) == len(made.notes) - 2
    assert first["start_beat"] == pytest.approx(window.first_beat + begin / 12)
    # A note of the bar before that is held over the line bars its pitch.
    late = {(index, 0): np.array([[begin - 6, begin + 24, 3]], np.int64)}
    holding = put_back(piece, window, late, keys)
    struck = put_back(holding, window, {(index, 1): np.array([[begin + 6, begin + 9, 3]], np.int64)}, keys)
    assert np.sum(struck.notes["pitch"] == 3) == np.sum(holding.notes["pitch"] == 3)
    assert len(held)
    # But not one that begins in a bar that is written anew, too.
    both = {(index, 0): np.zeros((0, 3), np.int64), (index, 1): np.array([[begin + 6, begin + 9, 3]], np.int64)}
    anew = put_back(holding, window, both, keys)
    assert np.sum(anew.notes["pitch"] == 3) == 1
    # What began before the window and sounds on into it is known in its ticks.
    behind = window_of(holding, 3, 4)
    (found,) = (table for i, table in enumerate(uncut_notes(holding, behind, keys)) if i == index)
    assert [-6, 24, 3] in found.tolist()


def test_tracks_are_added_one_after_another_and_pieces_begun(bundles: dict[str, Bundle], piece: Score) -> None:
    bundle = bundles["mmm"]
    short = piece.crop(0.0, float(piece.tempo_map.to_seconds(8.0)))
    options = NoteOptions(instruments=(DRUMS, 33), attributes={"DENSITY": 3}, max_notes=4)
    score, about = make_notes(bundle, None, short, options=options)
    assert about["task"] == "track"
    assert without_times(short) == without_times(score)[: len(short)] or set(without_times(short)) <= set(
        without_times(score)
    )
    added = score.notes[~np.isin(score.notes["track"], np.unique(short.notes["track"]))]
    assert set(added["drum"].tolist()) <= {True, False}
    assert (np.bincount((added["start_beat"] // 4 + added["track"] * 100).astype(int)) <= 4).all()
    composed, _ = make_notes(bundle, None, None, duration_s=20.0, options=NoteOptions(instruments=(0, DRUMS)))
    assert composed.duration_s >= 19.0
    free, _ = make_notes(bundle, "joint", None, seed=3)
    assert len(track_keys(free)) <= 4
    again, _ = make_notes(bundle, "joint", None, seed=3)
    assert without_times(free) == without_times(again)
    longer, _ = make_notes(bundle, "continue", short, duration_s=short.duration_s + 3)
    assert without_times(longer)[:3] == without_times(short)[:3]
    assert longer.duration_s > short.duration_s + 2


def test_from_files_to_files(bundles: dict[str, Bundle], piece: Score, tmp_path: Path) -> None:
    midi = tmp_path / "in.mid"
    write_midi(piece.crop(0.0, 8.0), midi)
    common: dict[str, Any] = {
        "task": None, "audio": None, "prompt_s": None, "hole_s": None, "controls": (), "temperature": 1.0, "top_k": 0,
        "top_p": 1.0, "guidance": 1.0, "seed": 0,
    }  # fmt: skip
    run = str(bundles["remi"].path.parent)
    out = generate(run, tmp_path / "made.mid", midi=midi, duration_s=9.0, typical_p=0.9, **common)
    assert out == tmp_path / "made.mid"
    assert len(read_midi(out))
    about = read_json(tmp_path / "made.json")
    assert (about["task"], about["typical_p"]) == ("continue", 0.9)
    assert about["notes_per_s"] > 0
    run = str(bundles["mmm"].path.parent)
    out = generate(run, tmp_path / "filled.mid", midi=midi, duration_s=None, **{**common, "hole_s": "2:4"})
    assert read_json(tmp_path / "filled.json")["hole_s"] == [2.0, 4.0]
    with pytest.raises(ValueError, match="--guidance 2 needs something to follow"):
        generate(run, tmp_path / "x.mid", midi=midi, duration_s=None, **{**common, "guidance": 2.0})
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="no --audio"):
        generate(run, tmp_path / "x.mid", midi=midi, duration_s=None, **{**common, "audio": tmp_path / "a.wav"})
    led = {**common, "guidance": 2.0, "task": "track"}
    notes = NoteOptions(instruments=(DRUMS,), attributes={"DENSITY": 3})
    generate(run, tmp_path / "led.mid", midi=midi, duration_s=None, notes=notes, **led)
    assert read_json(tmp_path / "led.json")["guidance"] == 2.0


@pytest.mark.parametrize("kind", ["remi", "performance", "mmm"])
def test_samples_of_one_batch_are_what_each_is_alone(bundles: dict[str, Bundle], piece: Score, kind: str) -> None:
    asked: dict[str, Any] = {"prompt_s": 5.0, "duration_s": 9.0, "options": NoteOptions(tries=1)}
    many = make_samples(bundles[kind], "continue", piece, 3, seed=7, **asked)
    for i, (score, about) in enumerate(many):
        alone, said = make_notes(bundles[kind], "continue", piece, seed=7 + i, **asked)
        assert without_times(score) == without_times(alone) and about == said
    assert len({str(without_times(score)) for score, _ in many}) == 3


def test_samples_become_files(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    run = str(bundles["mmm"].path.parent)
    words = [
        "generate",
        run,
        "--out",
        str(tmp_path / "a.mid"),
        "--samples",
        "2",
        "--instrument",
        "drums",
        "--seed",
        "4",
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    seeds = [read_json(tmp_path / f"a.{i}.json")["seed"] for i in range(2)]
    assert seeds == [4, 5]
    written = (tmp_path / "a.0.mid").stat().st_mtime_ns
    assert CliRunner().invoke(app, words).exit_code == 0  # made by the same request already
    assert (tmp_path / "a.0.mid").stat().st_mtime_ns == written
    for name in ("b", "b.wav"):
        words[3] = str(tmp_path / name)
        assert str(tmp_path / "b.0.mid") in CliRunner().invoke(app, words).output
    assert (tmp_path / "b.1.mid").is_file()
    words[3] = str(tmp_path / "a.mid")
    (tmp_path / "a.1.mid").unlink()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "a.1.mid").is_file()


@pytest.mark.parametrize("kind", ["remi", "performance"])
def test_silence_and_the_end_of_the_prompt_again_are_drawn_again(
    bundles: dict[str, Bundle], piece: Score, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles[kind]
    begun = beginning_of(bundle, piece, 5.0, 9.0, {}, seed=3)
    before = decode_tokens(bundle.vocabulary, begun.ids, begun.tempo_map, problems={})

    begins = int(np.flatnonzero(bundle.vocabulary.begins_note(np.arange(bundle.vocabulary.size)))[0])

    def behind(*notes: np.ndarray) -> Composed:
        score = replace(before, notes=np.concatenate([before.notes, *notes]), duration_s=99.0)
        drawn = np.full(sum(map(len, notes)), begins)
        return Composed(np.concatenate([begun.ids, drawn]), score, 9, 0, False)

    later = before.notes[-6:].copy()
    for key in ("start_s", "end_s"):
        later[key] += 8.0  # whole bars of 120 beats a minute, and whole sixteenths of any
    later["start_beat"] += 16.0
    later["end_beat"] += 16.0
    other = later.copy()
    other["pitch"] = (other["pitch"] + 1) % 128
    answers = [[behind(), behind(other)], [behind(later)], [behind(other[:1])]]
    seen: list[tuple[float, int]] = []

    def composed(bundle: Bundle, asked: list[Beginning], sampling: Sampling, **rest: Any) -> Any:
        seen.append((sampling.temperature, len(asked)))
        return answers[len(seen) - 1], 0.0

    monkeypatch.setattr(compose_module, "compose", composed)
    made = compose_tried(bundle, [begun, begun], Sampling(temperature=0.5), tries=4)
    assert [one.tries for one in made] == [3, 1]
    assert seen == [(pytest.approx(0.5), 2), (pytest.approx(0.55), 1), (pytest.approx(0.605), 1)]
    seen.clear()
    assert compose_tried(bundle, [begun, begun], Sampling(), tries=2)[0].tries == 2  # and no more than these
    seen.clear()
    assert compose_tried(bundle, [begun, begun], Sampling(0.0), tries=2)[0].tries == 1  # it would be the same again


@pytest.mark.parametrize("kind", ["performance", "miditok"])
def test_a_note_that_the_prompt_leaves_open_is_not_a_new_one(bundles: dict[str, Bundle], kind: str) -> None:
    bundle = bundles[kind]
    size = np.arange(bundle.vocabulary.size)
    begins = int(np.flatnonzero(bundle.vocabulary.begins_note(size))[0])
    begun = Beginning(np.array([begins]))
    note = make_table([{"start_beat": 0.0, "end_beat": 1.0, "pitch": 60}], TempoMap.constant(120.0))
    closed = Composed(np.array([begins, int(size[-1])]), Score(note, TempoMap.constant(120.0), 1.0), 1, 0, True)
    assert compose_module._is_poor(bundle, begun, closed)


def test_drums_are_asked_for_density_alone(bundles: dict[str, Bundle], piece: Score) -> None:
    bundle = bundles["mmm"]
    assert DRUMS in {instrument for _, instrument in track_keys(piece)}
    both = NoteOptions(attributes={"DENSITY": 3, "MAX_POLYPHONY": 2}, tries=1)
    filled, _ = make_notes(bundle, "infill", piece, hole_s=(2.0, 4.0), options=both)
    assert len(filled)
    added, _ = make_notes(bundle, "track", piece, options=replace(both, instruments=(DRUMS, 33)))
    assert len(added.tracks) > len(piece.tracks)
    none = NoteOptions(attributes={"MAX_POLYPHONY": 2}, instruments=(DRUMS,))
    with pytest.raises(ValueError, match="--attribute max_polyphony: of drums nothing but density"):
        make_notes(bundle, "joint", None, options=none)


def test_a_piece_shorter_than_a_window_has_the_bars_it_was_asked_for(bundles: dict[str, Bundle]) -> None:
    score, _ = make_notes(bundles["mmm"], "joint", None, duration_s=3.0, seed=1, options=NoteOptions(instruments=(0,)))
    assert len(bar_lines(score)) - 1 <= 2 and score.duration_s < 8.0


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        ("remi", {"task": "infill"}, "remi tokens is asked for joint, continue"),
        ("mmm", {"task": "audio_to_midi"}, "joint, continue, infill, track"),
        ("remi", {"options": NoteOptions(instruments=(3,))}, "--instrument.*MMM's tokens alone"),
        ("remi", {"task": "continue", "score": None}, "--midi with notes"),
        ("remi", {"duration_s": 2.0, "prompt_s": 3.0}, "leaves nothing to continue"),
        ("mmm", {"task": "continue", "duration_s": 1.0}, "no bar to continue"),
        ("mmm", {"task": "infill"}, "--hole-s"),
        ("mmm", {"task": "track"}, "--instrument"),
        ("mmm", {"hole_s": (2.0, 4.0), "options": NoteOptions(tracks=(77,))}, "no track 77"),
        ("remi", {"controls": {"stile": "house"}}, "no control 'stile'"),
        ("remi", {"task": "joint"}, "--midi says nothing to --task joint, it is for continue"),
        ("remi", {"hole_s": (1.0, 2.0), "score": None}, "--hole-s says nothing to --task joint.*without --midi"),
        ("remi", {"task": "continue", "hole_s": (1.0, 2.0)}, "--hole-s says nothing to --task continue"),
        ("remi", {"duration_s": 9.0, "prompt_s": 3.0, "options": NoteOptions(max_tokens=9)}, "--max-tokens is for"),
        ("mmm", {"score": None, "options": NoteOptions(max_tokens=9)}, "--max-tokens is for"),
        ("mmm", {"hole_s": (2.0, 4.0), "duration_s": 9.0}, "--seconds says nothing to --task infill"),
        ("mmm", {"hole_s": (2.0, 4.0), "options": NoteOptions(instruments=(3,))}, "--instrument says nothing"),
        ("mmm", {"score": None, "options": NoteOptions(tracks=(0,))}, "--track says nothing to --task joint"),
        ("mmm", {"score": None, "prompt_s": 2.0}, "--prompt-s says nothing to --task joint"),
        ("mmm", {"score": None, "options": NoteOptions(attributes={"DENSITY": 3})}, "density needs --instrument"),
        ("mmm", {"options": NoteOptions(tries=0)}, "1 or more"),
    ],
)
def test_what_cannot_be_done_is_said(
    bundles: dict[str, Bundle], piece: Score, kind: str, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_notes(bundles[kind], **{"task": None, "score": piece, **asked})


def test_bars_need_a_model_of_bars(bundles: dict[str, Bundle]) -> None:
    with pytest.raises(ValueError, match="not of MMM's tokens"):
        fill_windows(bundles["remi"], [], Sampling())


def test_words_of_the_command_line() -> None:
    assert parse_instruments(["drums", "33"]) == (DRUMS, 33)
    assert parse_attributes(["density=5", "MAX_POLYPHONY=2"]) == {"DENSITY": 5, "MAX_POLYPHONY": 2}
    for words, message in ((["128"], "from 0 to 127"), (["guitar"], "drums or a General MIDI program")):
        with pytest.raises(ValueError, match=message):
            parse_instruments(words)
    for pair in ("densty=3", "density", "density=x", "density=12"):
        with pytest.raises(ValueError, match=r"attribute|DENSITY should lie in 0\.\.9"):
            parse_attributes([pair])


def test_a_musician_of_sound_has_no_bars(tiny_run: Path) -> None:
    with pytest.raises(ValueError, match="models of notes alone"):
        Musician.load(str(tiny_run)).generate(notes=NoteOptions(instruments=(3,)))


@pytest.mark.parametrize("kind", SEQUENCES)
def test_what_is_composed_is_judged_beside_the_data(bundles: dict[str, Bundle], kind: str) -> None:
    run = bundles[kind].path.parent
    small = ["num_pieces=2", "piece_s=4", "num_windows=3", "ngram_order=1", "likelihood_rows=4"]
    text = evaluate(str(run), small)
    evaluation = read_json(run / "evaluation.json")
    made = evaluation["symbolic"]
    assert made["illegal"] == 0
    assert set(made["generated"]) == set(made["data"])
    for overlap in (made["overlap_mean"], made["overlap_data_mean"]):
        assert 0 <= overlap["low"] <= overlap["value"] <= overlap["high"] <= 1
    assert ("groove_consistency" in made["data"]) == ("notes_a_bar" in made["overlap"]) == (kind != "performance")
    assert made["data"]["notes_per_second"]["value"] > 0
    assert made["copied_notes"]["data"]["value"] >= 1
    assert evaluation["training"]["music_h"] > 0
    types = evaluation["tokens"]["types"]
    assert (
        sum(t["tokens"] for t in types.values()) == evaluation["likelihood"]["tasks"]["midi_only"]["events"]["tokens"]
    )
    assert "overlap" in text
    assert "nats/token, n-grams" in text  # of the whole split, so not beside what four rows have
    if kind == "mmm":
        assert {"density", "max_polyphony"} <= set(made["controls"])
        assert (made["infill"]["num_windows"], made["infill"]["bars"]) == (3, 4)
        # Pieces are composed for windows of the whole split, however many are asked and filled.
        evaluate(str(run), [*small, "num_windows=1", "ngram_order=0"])
        assert read_json(run / "evaluation.json")["symbolic"]["data"] == made["data"]
        # Each part can be left out.
        few = [*small, "ngram_order=0", "likelihood_rows=0"]
        for part, left in (("num_windows=0", {"generated", "data"}), ("num_pieces=0", {"controls", "infill"})):
            other = {"controls", "infill", "generated", "data"} - left
            text = evaluate(str(run), [*few, part])
            found = read_json(run / "evaluation.json")["symbolic"]
            assert left <= set(found) and not other & set(found)
            assert ("bars note F1" in text) == ("infill" in left)
    else:
        assert set(made["controls"]) <= {"density"}  # of which the one held-out piece may have a value never trained
    scores = scores_of(evaluation)
    assert scores["notes_per_s"].value > 0
    # Four rows are not the whole split, and have an interval though they are of one piece.
    assert scores["nats_per_token"].context.endswith("4 rows")
    low, high = scores["nats_per_token"].low, scores["nats_per_token"].high
    assert low is not None and high is not None and low < high
    assert kind in scores["nats_per_token"].context and ("structure True" in evaluation["tokens_of"]) == (
        kind == "musenet"
    )


def test_a_track_goes_through_all_of_a_longer_piece(bundles: dict[str, Bundle], piece: Score) -> None:
    assert len(bar_lines(piece)) - 1 > 8
    options = NoteOptions(instruments=(DRUMS,), tries=4)
    score, _ = make_notes(bundles["mmm"], "track", piece, sampling=Sampling(), seed=1, options=options)
    assert set(without_times(piece)) <= set(without_times(score))
    added = score.notes[score.notes["track"] == len(score.tracks) - 1]
    window = window_of(piece, 0, 4)
    assert (added["start_beat"] >= window.first_beat + 16).any()


def test_a_filled_bar_hears_what_comes_after_it_and_nothing_that_is_yet_to_go(
    bundles: dict[str, Bundle], piece: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, list[int]]] = []
    real = compose_bars.fill_windows

    def watched(bundle: Bundle, jobs: list[WindowJob], *rest: Any, **more: Any) -> Any:
        bars = sorted({bar for _, bar in jobs[0].holes})
        seen.append((round((jobs[0].window.first_beat - bar_lines(piece)[0]) / 4), bars))
        return real(bundle, jobs, *rest, **more)

    monkeypatch.setattr(compose_bars, "fill_windows", watched)
    ask = compose_bars.BarAsk(NoteOptions(tries=1), {}, Sampling(), 0)
    writing = compose_bars.bars_filled(bundles["mmm"], piece, range(4, 7), ask)
    compose_bars.write_together(bundles["mmm"], [writing], ask)
    assert seen == [(2, [2, 3]), (4, [2])]  # bars 4 and 5 behind two; bar 6 between 4, 5 and 7
