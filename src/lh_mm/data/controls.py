"""What a piece can be asked to be: composer, style, key, tempo, density; each a small set of words.

Numbers become buckets, so that a control has few values and each is trained. The legal values are those that
occur in the training split; they are stored with the set and travel in the bundle, so that nobody can ask a
model for what it never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from lh_mm.core.streams import ControlSpec
from lh_mm.music.musenet import INSTRUMENT_OF, INSTRUMENTS

TEMPO_STEP_BPM = 10
DENSITY_EDGES = (0, 1, 2, 4, 6, 8, 12, 16, 24, 32)
"""Notes a second."""


def tempo_bucket(bpm: float) -> str:
    """`120-129` for 120 up to, not including, 130."""
    low = int(bpm // TEMPO_STEP_BPM) * TEMPO_STEP_BPM
    return f"{low}-{low + TEMPO_STEP_BPM - 1}"


def density_bucket(notes_per_s: float) -> str:
    """`4-6` for 4 up to, not including, 6 notes a second; `32+` for all above."""
    for low, high in pairwise(DENSITY_EDGES):
        if notes_per_s < high:
            return f"{low}-{high}"
    return f"{DENSITY_EDGES[-1]}+"


def _text(key: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda piece: str(piece["labels"][key]) if piece["labels"].get(key) else None


def _tempo(piece: Mapping[str, Any]) -> str | None:
    bpm = piece["labels"].get("tempo_bpm")
    return tempo_bucket(float(bpm)) if bpm else None


def _density(piece: Mapping[str, Any]) -> str | None:
    return density_bucket(piece["notes"][1] / piece["duration_s"]) if piece["score"] is not None else None


def _plays(instrument: str) -> Callable[[Mapping[str, Any]], str | None]:
    """Whether one of MuseNet's instruments plays in a piece."""

    def read(piece: Mapping[str, Any]) -> str | None:
        if piece["score"] is None:
            return None
        programs = piece["score"]["programs"]
        return "yes" if instrument in {"drums" if p < 0 else INSTRUMENT_OF[p] for p in programs} else "no"

    return read


CONTROLS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "composer": _text("composer"),
    "style": _text("style"),
    "key": _text("key"),
    "tempo": _tempo,
    "density": _density,
    **{f"plays_{name}": _plays(name) for name in INSTRUMENTS},
}
"""Each control's name and how a piece's manifest record says its value, None where it says nothing.

A set has those alone that some piece of its training says: a corpus without composers has no such control.
"""

INSTRUMENT_CONTROLS = tuple(f"plays_{name}" for name in INSTRUMENTS)
"""Those that MuseNet's tokens add: which of its instruments play."""


def control_values(pieces: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Every control that occurs, with its values in a stable order (numbers by size); those of tokenizers apart."""
    values = {
        name: {value for piece in pieces if (value := read(piece))}
        for name, read in CONTROLS.items()
        if name not in INSTRUMENT_CONTROLS
    }
    return {name: sorted(found, key=_by_number) for name, found in values.items() if found}


def control_specs(values: Mapping[str, Sequence[str]]) -> tuple[ControlSpec, ...]:
    """As a model is told of them."""
    return tuple(ControlSpec(name, tuple(found)) for name, found in values.items())


def control_ids(piece: Mapping[str, Any], specs: Sequence[ControlSpec]) -> list[int]:
    """A piece's ids in the order of the specs; 0 where it has no value, or one that was not in training."""
    ids = []
    for spec in specs:
        value = CONTROLS[spec.name](piece) if spec.name in CONTROLS else None
        ids.append(spec.id_of(value) if value in spec.values else 0)
    return ids


def _by_number(text: str) -> tuple[int, float, str]:
    head = text.partition("-")[0].rstrip("+")
    return (0, float(head), text) if head.isdigit() else (1, 0.0, text)
