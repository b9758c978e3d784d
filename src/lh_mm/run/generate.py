"""A bundle that makes music, from Python; `lh generate` is the same for files (`run/generate_files.py`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lh_mm.audio.codec import StreamingCodec
from lh_mm.audio.io import read_audio, to_mono
from lh_mm.core.clock import num_frames_for
from lh_mm.core.config import Config
from lh_mm.core.log import console, progress
from lh_mm.generate.request import Request, Result
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.generate.stream import sound_as_it_comes
from lh_mm.music.events import decode_events
from lh_mm.music.midi_io import read_midi
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose_bars import NoteOptions
from lh_mm.run.made import Music, music_of_notes, said_of
from lh_mm.run.requests import TASKS, Asker, Sound
from lh_mm.run.runs import find_bundle

SAVE_EVERY_S = 20.0
"""Seconds between saved states of a generation that may be resumed."""
OPEN_S = 60.0
"""Longest music where the model decides how long it is."""


@dataclass(frozen=True)
class Musician:
    """A bundle, ready to be asked."""

    bundle: Bundle

    @classmethod
    def load(cls, run: str, model: type[Config] | None = None) -> Musician:
        """Of a run: a folder, an id, `latest`, or `demo`.

        Args:
            run: which.
            model: class of the model's settings, for a model of one's own.

        Raises:
            ValueError: if there is no such run or it has no bundle.
        """
        return cls(Bundle.load(find_bundle(run), model))

    @cached_property
    def ask(self) -> Asker:
        """Makes requests."""
        return Asker(self.bundle)

    @property
    def sample_rate(self) -> int:
        """Of the sound that is read and written, in Hz."""
        return 24_000 if self.bundle.codec is None else self.bundle.codec.sample_rate

    def generate(
        self,
        midi: str | Path | Score | None = None,
        audio: str | Path | NDArray[np.float32] | None = None,
        *,
        task: str | None = None,
        duration_s: float | None = None,
        prompt_s: float | None = None,
        hole_s: tuple[float, float] | None = None,
        controls: Mapping[str, str] | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.95,
        typical_p: float = 1.0,
        guidance: float = 1.0,
        seed: int = 0,
        notes: NoteOptions | None = None,
        resume_in: Path | None = None,
    ) -> Music:
        """Make music.

        Args:
            midi: notes to read: a file or a score.
            audio: sound to read: a file, or (samples,) mono at `sample_rate`.
            task: of `run/requests.py`'s TASKS; without it midi_to_audio for notes, audio_to_midi for sound,
                continue for both, joint for neither.
            duration_s: length of the result; else that of the input, or the model's own choice.
            prompt_s: continue: seconds of the input to keep, by default all of it.
            hole_s: infill: start and end of what is written anew.
            controls: by name.
            temperature, top_k, top_p, typical_p: of sampling.
            guidance: above 1 follows given streams more closely; of notes alone, controls and attributes.
            seed: the same seed gives the same music.
            notes: what is asked of a model of notes alone: instruments, tracks, attributes, caps.
            resume_in: folder in which the state is kept while it is not finished.

        Raises:
            ValueError: for a task the bundle was not trained for, or one that lacks its input.
        """
        score = read_midi(midi) if isinstance(midi, str | Path) else midi
        sampling = Sampling(temperature, top_k, top_p, typical_p)
        if not self.bundle.spec.merged:
            if audio is not None:
                raise ValueError(f"bundle '{self.bundle.manifest['name']}' is of notes alone: no --audio")
            (music,) = self.generate_many(
                1, score, task=task, duration_s=duration_s, prompt_s=prompt_s, hole_s=hole_s, controls=controls,
                sampling=sampling, guidance=guidance, seed=seed, notes=notes,
            )  # fmt: skip
            return music
        if notes is not None and notes != NoteOptions():
            flags = "--instrument, --track, --attribute, --cap-polyphony, --cap-notes and --max-tokens"
            raise ValueError(f"{flags} are for models of notes alone")
        wave = self._read(audio) if isinstance(audio, str | Path) else audio
        task = task or _default_task(score is not None, wave is not None)
        request = self._request(task, score, wave, duration_s, prompt_s, hole_s)
        request = replace(request, controls=dict(controls or {}), seed=seed)
        generation = self._begin(request, sampling, guidance)
        started = time.perf_counter()
        result = _run(generation, resume_in, self.ask.rate_hz)
        seconds = time.perf_counter() - started
        about = {
            "task": task, **said_of(self.bundle, sampling, seed), "guidance": guidance,
            "controls": dict(controls or {}), "prompt_s": prompt_s, "hole_s": list(hole_s) if hole_s else None,
            "midi": str(midi) if isinstance(midi, str | Path) else None,
            "audio": str(audio) if isinstance(audio, str | Path) else None,
            "rate_hz": self.ask.rate_hz, "num_frames": result.num_frames,
            "duration_s": result.num_frames / self.ask.rate_hz, "seconds_taken": round(seconds, 3),
            "realtime": round(result.num_frames / self.ask.rate_hz / seconds, 3),
        }  # fmt: skip
        return Music(self._score_of(request, result, score), self._wave_of(result), self.sample_rate, about)

    def generate_many(
        self,
        num_samples: int,
        midi: str | Path | Score | None = None,
        *,
        task: str | None = None,
        duration_s: float | None = None,
        prompt_s: float | None = None,
        hole_s: tuple[float, float] | None = None,
        controls: Mapping[str, str] | None = None,
        sampling: Sampling = Sampling(top_p=0.95),  # noqa: B008 (frozen)
        guidance: float = 1.0,
        seed: int = 0,
        notes: NoteOptions | None = None,
    ) -> list[Music]:
        """Several answers of a model of notes alone to one request, in one batch.

        Args:
            num_samples: how many; their seeds are `seed`, `seed + 1`, and so on, and each is what it would be alone.
            midi, task, duration_s, prompt_s, hole_s, controls, guidance, notes: as `generate` takes them.
            sampling: how tokens are drawn.

        Raises:
            ValueError: for a bundle with sound, and as `generate`.
        """
        if self.bundle.spec.merged:
            name = self.bundle.manifest["name"]
            raise ValueError(f"--samples is for models of notes alone: ask bundle '{name}' seed by seed")
        score = read_midi(midi) if isinstance(midi, str | Path) else midi
        return music_of_notes(
            self.bundle, num_samples, task, score, sampling, duration_s=duration_s, prompt_s=prompt_s, hole_s=hole_s,
            controls=controls, guidance=guidance, seed=seed, options=notes or NoteOptions(),
        )  # fmt: skip

    def stream(
        self,
        midi: str | Path | Score | None = None,
        *,
        duration_s: float | None = None,
        controls: Mapping[str, str] | None = None,
        sampling: Sampling = Sampling(top_p=0.95),  # noqa: B008 (frozen)
        guidance: float = 1.0,
        seed: int = 0,
        chunk_s: float = 0.2,
    ) -> Iterator[NDArray[np.float32]]:
        """Sound while it is written, (samples,) about `chunk_s` at a time: for given notes, or from nothing.

        Args:
            midi: notes to play; without them notes and sound are composed.
            duration_s: length of the whole; else that of the notes, or the model's own choice.
            controls: by name.
            sampling: how codes and events are drawn.
            guidance: above 1 follows the notes more closely.
            seed: the same seed gives the same music.
            chunk_s: the longer, the fewer calls of the decoder and the later the first sound.

        Raises:
            ValueError: for a bundle without a codec that streams, or a task it was not trained for.
        """
        codec = self.bundle.codec
        if not isinstance(codec, StreamingCodec):
            raise ValueError(f"bundle '{self.bundle.manifest['name']}' has no codec that streams: use generate")
        score = read_midi(midi) if isinstance(midi, str | Path) else midi
        request = self._request(_default_task(score is not None, False), score, None, duration_s, None, None)
        request = replace(request, controls=dict(controls or {}), seed=seed)
        generation = self._begin(request, sampling, guidance)
        yield from sound_as_it_comes(generation, codec, chunk_frames=max(1, round(chunk_s * self.ask.rate_hz)))

    def _begin(self, request: Request, sampling: Sampling, guidance: float) -> Generation:
        vocabulary = self.bundle.event_vocabulary
        return Generation(self.bundle.model, [request], vocabulary, events=sampling, codes=sampling, guidance=guidance)

    def _read(self, path: str | Path) -> NDArray[np.float32]:
        wave, _ = read_audio(path, self.sample_rate)
        return to_mono(wave).reshape(-1)

    def _request(
        self,
        task: str,
        score: Score | None,
        wave: NDArray[np.float32] | None,
        duration_s: float | None,
        prompt_s: float | None,
        hole_s: tuple[float, float] | None,
    ) -> Request:
        if task not in TASKS:
            raise ValueError(f"--task should be one of {', '.join(TASKS)}, got '{task}'")
        rate = self.ask.rate_hz
        frames = None if duration_s is None else num_frames_for(duration_s, rate)
        if frames is not None and frames < 1:
            raise ValueError(f"--seconds should be above 0, got {duration_s}")
        longest = num_frames_for(OPEN_S, rate)
        if task == "joint":
            return self.ask.joint(frames, longest)
        if task == "midi_to_audio":
            return self.ask.midi_to_audio(_needed(score, task, "--midi"), num_frames=frames)
        if task == "audio_to_midi":
            sound = self.ask.sound(_needed(wave, task, "--audio"))
            return self.ask.audio_to_midi(_cut(sound, frames))
        if task == "continue":
            return self._continuation(score, wave, frames, prompt_s)
        if hole_s is None:
            raise ValueError("--task infill needs --hole-s START:END, what is to be written anew")
        if score is None and wave is None:
            raise ValueError("--task infill needs --midi, --audio or both")
        sound_of_piece = None if wave is None else self.ask.sound(wave)
        n = frames or (len(sound_of_piece.codes) if sound_of_piece else num_frames_for(score.duration_s, rate))  # type: ignore[union-attr]
        hole = (round(hole_s[0] * rate), round(hole_s[1] * rate))
        return self.ask.infill(score, sound_of_piece, hole, n)

    def _continuation(
        self, score: Score | None, wave: NDArray[np.float32] | None, frames: int | None, prompt_s: float | None
    ) -> Request:
        if score is None and wave is None:
            raise ValueError("--task continue needs --midi, --audio or both")
        rate = self.ask.rate_hz
        sound = None if wave is None else self.ask.sound(wave)
        if score is None:
            # A continuation is of notes and sound together: the sound's notes are written down first.
            assert wave is not None
            score = self.generate(audio=wave, task="audio_to_midi", temperature=0.0).score
            assert score is not None
        length_s = score.duration_s if sound is None else len(sound.codes) / rate
        prompt = num_frames_for(min(prompt_s or length_s, length_s), rate)
        frames = frames or prompt + num_frames_for(10.0, rate)
        if frames <= prompt:
            raise ValueError(f"--seconds {frames / rate:g} leaves nothing to continue behind {prompt / rate:g} s")
        return self.ask.continuation(score, sound, prompt, frames, frames)

    def _score_of(self, request: Request, result: Result, given: Score | None) -> Score | None:
        stream = next((s for s in request.completed(self.bundle.spec).events if s.role != "absent"), None)
        if stream is None or request.states is not None:
            return given
        clocks, ids = (stream.clocks, stream.ids) if stream.role == "given" else (result.clocks, result.ids)
        tempo_map = None if given is None else given.tempo_map
        return decode_events(clocks, ids, self.ask.rate_hz, result.num_frames, self.bundle.event_vocabulary, tempo_map)

    def _wave_of(self, result: Result) -> NDArray[np.float32] | None:
        if not result.codes or self.bundle.codec is None:
            return None
        return decode_codes(self.bundle.codec, [next(iter(result.codes.values()))])[0][None]


def decode_codes(codec: Any, codes: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    """Waves (samples,) of codes (N, K), each by itself."""
    with torch.inference_mode():
        return [codec.decode(torch.from_numpy(c)[None])[0, 0].numpy().astype(np.float32) for c in codes]


def _run(generation: Generation, resume_in: Path | None, rate_hz: float) -> Result:
    """Run to the end, saving the state now and then where it can be resumed from."""
    if resume_in is not None and (resume_in / "generation.json").is_file():
        generation.load(resume_in)
        console().print(f"going on with what {resume_in} holds")
    request = generation.requests[0]
    total = None if request.num_frames is None else request.num_frames
    with progress("generating", total, "frames") as shown:
        saved = time.monotonic()
        for _, frame in generation:
            shown.advance(frame + 1 - shown.done, f"{(frame + 1) / rate_hz:.1f} s of music")
            if resume_in is not None and time.monotonic() - saved > SAVE_EVERY_S:
                generation.save(resume_in)
                saved = time.monotonic()
    return generation.results()[0]


def _default_task(has_midi: bool, has_audio: bool) -> str:
    if has_midi and has_audio:
        return "continue"
    return "midi_to_audio" if has_midi else "audio_to_midi" if has_audio else "joint"


def _needed(value: Any, task: str, flag: str) -> Any:
    if value is None:
        raise ValueError(f"--task {task} needs {flag}")
    return value


def _cut(sound: Sound, num_frames: int | None) -> Sound:
    n = min(num_frames or len(sound.codes), len(sound.codes))
    return Sound(sound.codes[:n], None if sound.features is None else sound.features[:n])
