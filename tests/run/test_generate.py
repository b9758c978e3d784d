"""Every task of a bundle from files to files; what was asked is written down, and asking twice is free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lh_mm.audio.io import read_audio, write_audio
from lh_mm.core.files import read_json
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.generate.stream import sound_as_it_comes
from lh_mm.music.compose import compose
from lh_mm.music.midi_io import read_midi, write_midi
from lh_mm.run.generate import Musician
from lh_mm.run.generate_files import generate
from lh_mm.run.requests import Asker
from lh_mm.run.train import train

OPTIONS = {
    "task": None, "midi": None, "audio": None, "duration_s": None, "prompt_s": None, "hole_s": None, "controls": (),
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "guidance": 1.0, "seed": 0,
}  # fmt: skip
LENGTH_S = 0.4


@pytest.fixture(scope="module")
def midi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asked") / "in.mid"
    score = compose(1, "house", 12).score
    assert score is not None
    write_midi(score.crop(4.0, 4.0 + LENGTH_S), path)
    return path


@pytest.fixture(scope="module")
def wav(midi: Path) -> Path:
    path = midi.with_name("in.wav")
    rng = np.random.default_rng(0)
    write_audio(path, rng.normal(0, 0.1, (1, round(LENGTH_S * 24_000))).astype(np.float32), 24_000)
    return path


def ask(run: Path, out: Path, **options: object) -> Path:
    return generate(str(run), out, **{**OPTIONS, **options})  # type: ignore[arg-type]


def test_sound_for_notes(tiny_run: Path, midi: Path, tmp_path: Path) -> None:
    style = Musician.load(str(tiny_run)).bundle.spec.controls[0].values[0]
    out = ask(
        tiny_run, tmp_path / "made.wav", midi=midi, duration_s=LENGTH_S, controls=[f"style={style}"], guidance=1.5
    )
    wave, rate = read_audio(out)
    assert wave.shape == (1, round(LENGTH_S * rate))
    assert np.isfinite(wave).all()
    about = read_json(tmp_path / "made.json")
    assert about["task"] == "midi_to_audio"
    assert (about["seed"], about["controls"], about["guidance"]) == (0, {"style": style}, 1.5)
    given, kept = read_midi(midi), read_midi(tmp_path / "made.mid")
    assert len(kept) <= len(given)
    assert set(kept.notes["pitch"]) <= set(given.notes["pitch"])


def test_the_same_request_is_not_done_again_and_another_is(tiny_run: Path, midi: Path, tmp_path: Path) -> None:
    first = ask(tiny_run, tmp_path / "a.wav", midi=midi, duration_s=0.2)
    made = first.stat().st_mtime_ns
    assert ask(tiny_run, tmp_path / "a.wav", midi=midi, duration_s=0.2).stat().st_mtime_ns == made
    sound = first.read_bytes()
    ask(tiny_run, tmp_path / "a.wav", midi=midi, duration_s=0.2, seed=1)
    assert first.read_bytes() != sound
    ask(tiny_run, tmp_path / "a.wav", midi=midi, duration_s=0.2)
    assert first.read_bytes() == sound
    assert not list(tmp_path.glob(".*"))


def test_notes_for_sound_and_a_continuation(tiny_run: Path, wav: Path, midi: Path, tmp_path: Path) -> None:
    out = ask(tiny_run, tmp_path / "notes.wav", audio=wav, duration_s=0.1, temperature=0.0)
    assert out.suffix == ".mid"
    assert read_json(tmp_path / "notes.json")["task"] == "audio_to_midi"
    longer = ask(tiny_run, tmp_path / "on.wav", midi=midi, task="continue", prompt_s=0.2, duration_s=0.3)
    wave, rate = read_audio(longer)
    assert wave.shape[1] == round(0.3 * 75 + 0.4999) * 320
    assert rate == 24_000


def test_infill_leaves_its_surroundings(tiny_run: Path, midi: Path, tmp_path: Path) -> None:
    ask(tiny_run, tmp_path / "mended.wav", midi=midi, task="infill", hole_s="0.1:0.2", duration_s=LENGTH_S)
    before, after = (
        {(round(n["start_s"], 2), n["pitch"]) for n in read_midi(path).notes if not 0.08 < n["start_s"] < 0.22}
        for path in (midi, tmp_path / "mended.mid")
    )
    assert {pitch for _, pitch in before} == {pitch for _, pitch in after}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "sing"}, "--task should be one of"),
        ({"task": "midi_to_audio"}, "--midi"),
        ({"task": "infill"}, "--hole-s"),
        ({"hole_s": "1-2"}, "START:END"),
        ({"controls": ["loud"]}, "name=value"),
        ({"controls": ["style=polka"], "duration_s": 0.1}, "polka"),
        ({"duration_s": -1.0}, "above 0"),
    ],
)
def test_mistakes_name_their_flag(tiny_run: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask(tiny_run, tmp_path / "x.wav", **options)
    assert not (tmp_path / "x.wav").exists()


def test_from_python(tiny_run: Path, midi: Path) -> None:
    music = Musician.load(str(tiny_run)).generate(midi=midi, duration_s=0.2, seed=3)
    assert music.wave is not None
    assert music.wave.shape == (1, 15 * 320)
    assert music.about["seed"] == 3


@pytest.mark.parametrize("chunk_s", [0.001, 0.1, 9.0])
def test_sound_that_comes_in_pieces_is_the_whole(tiny_run: Path, midi: Path, chunk_s: float) -> None:
    musician = Musician.load(str(tiny_run))
    whole = musician.generate(midi, duration_s=LENGTH_S, seed=4, top_p=0.9).wave
    pieces = list(musician.stream(midi, duration_s=LENGTH_S, seed=4, sampling=Sampling(top_p=0.9), chunk_s=chunk_s))
    assert whole is not None
    assert np.allclose(np.concatenate(pieces), whole[0], atol=1e-5)
    assert (len(pieces) == 1) == (chunk_s > LENGTH_S)


def test_a_track_that_is_given_has_no_sound_to_come(tiny_run: Path, wav: Path) -> None:
    bundle = Musician.load(str(tiny_run)).bundle
    asker = Asker(bundle)
    request = asker.audio_to_midi(asker.sound(read_audio(wav)[0][0]))
    generation = Generation(bundle.model, [request], bundle.event_vocabulary)
    with pytest.raises(ValueError, match="is given"):
        next(sound_as_it_comes(generation, bundle.codec))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("given_notes=events", ("events", "merged", "parallel")),
        ("given_notes=states", ("states", "merged", "parallel")),
        ("given_notes=both", ("both", "merged", "parallel")),
        ("order=prefix", ("both", "prefix", "parallel")),
        ("layout=delay", ("both", "merged", "delay")),
    ],
)
def test_a_bundle_is_asked_in_the_form_it_was_trained_in(
    form: str, expected: tuple[str, str, str], tiny: tuple[str, ...], midi: Path, tmp_path: Path
) -> None:
    tasks = "sequence.tasks=[{kind: midi_to_audio, delays: [-2]}]"
    run = train(
        "demo", [*tiny, tasks, f"sequence.{form}", "sequence.cut_share=1", "trainer.max_steps=1"], runs=tmp_path
    )
    musician = Musician.load(str(run))
    request = musician.ask.midi_to_audio(read_midi(midi), num_frames=30)
    shows = {"states": request.states is not None, "events": len(request.events[0].ids) > 0}
    notes = "both" if all(shows.values()) else next(name for name, shown in shows.items() if shown)
    assert (notes, request.order, request.layout) == expected
    made = musician.generate(midi, duration_s=LENGTH_S)
    assert made.wave is not None
    assert made.wave.shape[1] == pytest.approx(LENGTH_S * musician.sample_rate, abs=320)
    assert made.score is not None
    assert len(made.score.notes)
