"""Music that was made, how it is saved, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.audio.io import write_audio
from lh_mm.core.files import sha256_file, write_json
from lh_mm.generate.sampling import Sampling
from lh_mm.music.midi_write import write_midi
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose_bars import NoteOptions
from lh_mm.run.notes import make_samples


@dataclass(frozen=True)
class Music:
    """What was made.

    Attributes:
        score: the notes: those that were written, or those that were given.
        wave: (1, samples), None for notes alone.
        sample_rate: of `wave`.
        about: what was asked, of which bundle, with which seed, how fast; plain values.
    """

    score: Score | None
    wave: NDArray[np.float32] | None
    sample_rate: int
    about: Mapping[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write `.mid`, `.wav` (or `.flac`, as `path` says) and `.json` side by side; returns the sound or notes."""
        path = Path(path)
        written = path.with_suffix(".mid")
        if self.score is not None:
            write_midi(self.score, written, min_tick_rate_hz=8 * float(self.about["rate_hz"]))
        if self.wave is not None:
            written = path if path.suffix in (".wav", ".flac") else path.with_suffix(".wav")
            write_audio(written, self.wave, self.sample_rate)
        write_json(path.with_suffix(".json"), dict(self.about))
        return written


def said_of(bundle: Bundle, sampling: Sampling, seed: int) -> dict[str, Any]:
    """Of which weights something is, and how it was drawn."""
    return {
        "bundle": bundle.manifest["name"], "bundle_path": bundle.path.name,
        "weights_sha256": sha256_file(bundle.path / "model.safetensors"), "seed": seed, **vars(sampling),
    }  # fmt: skip


def music_of_notes(
    bundle: Bundle, num_samples: int, task: str | None, score: Score | None, sampling: Sampling, **asked: Any
) -> list[Music]:
    """Answers of a model of notes alone, as `make_samples` is asked; `seconds_taken` are those of all of them.

    Raises:
        ValueError: as `make_samples`.
    """
    started = time.perf_counter()
    samples = make_samples(bundle, task, score, num_samples, sampling=sampling, **asked)
    seconds = time.perf_counter() - started
    options: NoteOptions = asked["options"]
    total = sum(done["num_notes"] for _, done in samples)
    found = []
    for i, (made, done) in enumerate(samples):
        about = {
            **done, **said_of(bundle, sampling, asked["seed"] + i), "guidance": asked["guidance"],
            "controls": dict(asked["controls"] or {}),
            "prompt_s": asked["prompt_s"], "hole_s": list(asked["hole_s"]) if asked["hole_s"] else None,
            "options": {**vars(options), "attributes": dict(options.attributes)}, "num_samples": num_samples,
            "rate_hz": bundle.spec.rate_hz, "duration_s": made.duration_s, "seconds_taken": round(seconds, 3),
            "notes_per_s": round(total / max(seconds, 1e-9), 1),
        }  # fmt: skip
        found.append(Music(made, None, 24_000, about))
    return found
