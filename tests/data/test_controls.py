"""Controls: few values, known from training, and none that nobody trained."""

from __future__ import annotations

from typing import Any

import pytest

from lh_mm.data.controls import control_ids, control_specs, control_values, density_bucket, tempo_bucket


def piece(notes: int = 100, score: bool = True, **labels: Any) -> dict[str, Any]:
    return {"labels": labels, "notes": [0, notes], "duration_s": 10.0, "score": {} if score else None}


def test_buckets() -> None:
    assert [tempo_bucket(bpm) for bpm in (119.99, 120, 129.9, 90)] == ["110-119", "120-129", "120-129", "90-99"]
    assert [density_bucket(x) for x in (0, 0.99, 5, 31.9, 32, 100)] == ["0-1", "0-1", "4-6", "24-32", "32+", "32+"]


def test_values_are_those_of_training_in_a_stable_order() -> None:
    pieces = [piece(tempo_bpm=125, style="techno"), piece(tempo_bpm=95, style="ambient", key="C:maj"), piece(400)]
    values = control_values(pieces)
    assert values == {
        "style": ["ambient", "techno"],
        "key": ["C:maj"],
        "tempo": ["90-99", "120-129"],
        "density": ["8-12", "32+"],
    }
    assert control_values([piece(score=False)]) == {}  # so a set has no control that its pieces say nothing of
    specs = control_specs(values)
    assert control_ids(pieces[0], specs) == [2, 0, 2, 1]
    assert control_ids(piece(10, tempo_bpm=300, style="polka"), specs) == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="'style' should be one of ambient, techno, got 'polka'"):
        specs[0].id_of("polka")


def test_a_composer_is_a_control_where_a_corpus_names_one() -> None:
    told = [piece(composer="chopin", tempo_bpm=95), piece(composer="bach", tempo_bpm=95), piece(tempo_bpm=95)]
    values = control_values(told)
    assert values == {"composer": ["bach", "chopin"], "tempo": ["90-99"], "density": ["8-12"]}
    specs = control_specs(values)
    assert [control_ids(record, specs)[0] for record in told] == [2, 1, 0]
    # A set without that label has the controls, and so the ids, that it always had.
    silent = [piece(tempo_bpm=95, style="funk", key="C:maj")]
    assert list(control_values(silent)) == ["style", "key", "tempo", "density"]
    assert control_ids(silent[0], control_specs(control_values(silent))) == [1, 1, 1, 1]
