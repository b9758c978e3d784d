"""`lh generate`: from files to files; what was made by the same request already is not made again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lh_mm.core.files import read_json, sha256_file, sha256_of
from lh_mm.core.log import console
from lh_mm.generate.sampling import Sampling
from lh_mm.run.compose_bars import NoteOptions
from lh_mm.run.generate import Musician
from lh_mm.run.made import Music
from lh_mm.run.requests import parse_controls


def generate(
    run: str,
    out: Path,
    *,
    task: str | None,
    midi: Path | None,
    audio: Path | None,
    duration_s: float | None,
    prompt_s: float | None,
    hole_s: str | None,
    controls: Sequence[str],
    temperature: float,
    top_k: int,
    top_p: float,
    guidance: float,
    seed: int,
    typical_p: float = 1.0,
    notes: NoteOptions = NoteOptions(),  # noqa: B008 (frozen)
    samples: int = 1,
) -> Path:
    """`lh generate`: as `Musician.generate`, from files to files; a stopped call goes on when it is repeated.

    Returns:
        The sound, or the notes where there is none; of several samples the first (`name.0.mid`, then `name.1.mid` ..).

    Raises:
        ValueError: as `Musician.generate`, and for several samples of a bundle with sound.
    """
    hole = _parse_hole(hole_s)
    musician = Musician.load(run)
    asked = {
        "midi": midi and sha256_file(midi), "audio": audio and sha256_file(audio), "task": task, "seconds": duration_s,
        "prompt": prompt_s, "hole": hole_s, "controls": sorted(controls), "temperature": temperature, "top_k": top_k,
        "top_p": top_p, "typical_p": typical_p, "guidance": guidance, "seed": seed,
        "notes": {**vars(notes), "attributes": sorted(notes.attributes.items())}, "samples": samples,
        "weights": sha256_file(musician.bundle.path / "model.safetensors"),
    }  # fmt: skip
    fingerprint = sha256_of(asked)
    stem = out.stem if out.suffix in (".mid", ".wav", ".flac") else out.name
    paths = [out] if samples == 1 else [out.with_name(f"{stem}.{i}.mid") for i in range(samples)]
    if paths and all(_is_made(path, fingerprint) for path in paths):
        console().print(f"{paths[0]} is there already, made by the same request")
        return paths[0]
    if samples != 1:
        if audio is not None:
            raise ValueError("--samples is for models of notes alone: no --audio")
        many = musician.generate_many(
            samples, midi, task=task, duration_s=duration_s, prompt_s=prompt_s, hole_s=hole,
            controls=parse_controls(list(controls)), sampling=Sampling(temperature, top_k, top_p, typical_p),
            guidance=guidance, seed=seed, notes=notes,
        )  # fmt: skip
        for music, path in zip(many, paths, strict=True):
            _save(music, path, fingerprint)
        return paths[0]
    state = out.with_name(f".{out.stem}.{fingerprint[:12]}")
    music = musician.generate(
        midi, audio, task=task, duration_s=duration_s, prompt_s=prompt_s, hole_s=hole,
        controls=parse_controls(list(controls)), temperature=temperature, top_k=top_k, top_p=top_p,
        typical_p=typical_p, guidance=guidance, seed=seed, notes=notes, resume_in=state,
    )  # fmt: skip
    written = _save(music, out, fingerprint)
    shutil.rmtree(state, ignore_errors=True)
    return written


def _is_made(path: Path, fingerprint: str) -> bool:
    described = path.with_suffix(".json")
    return described.is_file() and read_json(described).get("request_sha256") == fingerprint and path.is_file()


def _save(music: Music, path: Path, fingerprint: str) -> Path:
    return replace(music, about={**music.about, "request_sha256": fingerprint}).save(path)


def _parse_hole(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(start), float(end)
    except ValueError:
        raise ValueError(f"--hole-s should be START:END in seconds, as 2.5:4, got '{text}'") from None
