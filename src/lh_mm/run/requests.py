"""From music in files to requests: what a bundle is asked, task by task, in the form it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lh_mm.core.clock import num_frames_for
from lh_mm.core.merge import UNGENERATED, AudioStream, EventStream, Role
from lh_mm.data.tasks import MIDI, Hollow
from lh_mm.generate.request import Request
from lh_mm.music.events import encode_events, legalise
from lh_mm.music.note_state import note_states
from lh_mm.music.score import Score
from lh_mm.run.bundle import Bundle

TASKS = ("midi_to_audio", "audio_to_midi", "continue", "joint", "infill")


@dataclass(frozen=True)
class Sound:
    """A sound as the model takes it: codes (N, K) of its codec and features (N, F) of its front end."""

    codes: NDArray[np.int64]
    features: NDArray[np.float32] | None


@dataclass(frozen=True)
class Asker:
    """Makes requests to one bundle.

    Attributes:
        bundle: what is asked.
    """

    bundle: Bundle

    @property
    def rate_hz(self) -> float:
        """Slots a second."""
        return self.bundle.spec.rate_hz

    @property
    def track(self) -> str:
        """The audio track that is read and written.

        Raises:
            ValueError: for a bundle of notes alone.
        """
        if not self.bundle.spec.audio_tracks:
            raise ValueError(f"bundle '{self.bundle.manifest['name']}' is of notes alone, it has no sound")
        return self.bundle.spec.audio_tracks[0]

    def delay_of(self, task: str) -> int:
        """The delay that a task was trained with (the first of several).

        Raises:
            ValueError: if the bundle was not trained for the task.
        """
        trained = {t.kind: t for t in getattr(self.bundle.experiment.sequence, "tasks", ())}
        kind = "joint" if task == "continue" else task
        if kind == "joint" and not self.bundle.spec.audio_tracks:
            kind = "midi_only"  # the same without sound
        if kind not in trained:
            name = self.bundle.manifest["name"]
            raise ValueError(f"--task {task}: bundle '{name}' was trained for {', '.join(trained) or 'no task'}")
        delays = getattr(trained[kind], "delays", (0,))
        return int(delays[0])

    def sound(self, wave: NDArray[np.float32]) -> Sound:
        """Codes and features of a mono sound at the codec's sample rate, (samples,).

        Raises:
            ValueError: for a bundle without a codec.
        """
        codec = self.bundle.codec
        if codec is None:
            raise ValueError(f"bundle '{self.bundle.manifest['name']}' is of notes alone, it has no codec")
        tensor = torch.from_numpy(np.ascontiguousarray(wave))[None]
        with torch.inference_mode():
            codes = codec.encode(tensor[:, None])[0].numpy()
            features = None
            if self.bundle.features is not None:
                front_end = self.bundle.features.build(codec.sample_rate, codec.rate_hz)
                features = front_end(tensor)[0].numpy().astype(np.float16).astype(np.float32)  # as sets store them
        return Sound(codes, None if features is None else features[: len(codes)])

    def events(self, score: Score, role: Role, delay: int, num_frames: int) -> EventStream:
        """A score's notes as the stream `midi`, made legal at the model's rate."""
        events = encode_events(
            self._legal(score, num_frames).notes, self.rate_hz, num_frames, self.bundle.event_vocabulary
        )
        as_int = (events.clocks.astype(np.int64), events.ids.astype(np.int64), events.onset_clocks.astype(np.int64))
        return EventStream(MIDI, role, delay, *as_int)

    def midi_to_audio(self, score: Score, *, num_frames: int | None = None, **common: object) -> Request:
        """Sound for notes."""
        n = num_frames or max(1, num_frames_for(score.duration_s, self.rate_hz))
        delay, states = self.delay_of("midi_to_audio"), None
        form = getattr(self.bundle.experiment.sequence, "given_notes", "events")
        stream = _empty("given", delay) if form == "states" else self.events(score, "given", delay, n)
        if form != "events":
            states = note_states(self._legal(score, n).notes, self.rate_hz, 0, n)
        return self._request(
            events=(stream,), states=states,
            audio=(AudioStream(self.track, "generated", self._no_codes(0)),),
            num_frames=n, **common,
        )  # fmt: skip

    def audio_to_midi(self, sound: Sound, **common: object) -> Request:
        """Notes for sound."""
        return self._request(
            events=(_empty("generated", self.delay_of("audio_to_midi")),),
            audio=(AudioStream(self.track, "given", sound.codes),),
            num_frames=len(sound.codes), features=self._features(sound), **common,
        )  # fmt: skip

    def joint(self, num_frames: int | None, max_frames: int, **common: object) -> Request:
        """Notes and sound from nothing."""
        return self._request(
            events=(_empty("generated", self.delay_of("joint")),),
            audio=self._generated_audio(self._no_codes(0)),
            num_frames=num_frames, max_frames=max_frames, **common,
        )  # fmt: skip

    def continuation(
        self, score: Score, sound: Sound | None, prompt: int, num_frames: int | None, max_frames: int, **common: object
    ) -> Request:
        """Goes on behind the first `prompt` slots; without a sound, that of the prompt is made as well."""
        n = num_frames or max_frames
        codes = self._no_codes(prompt) if sound is None else sound.codes[:prompt]
        if len(codes) < prompt:
            codes = np.concatenate([codes, self._no_codes(prompt - len(codes))])
        stream = self.events(score, "generated", self.delay_of("continue"), n)
        return self._request(
            events=(stream.take(stream.clocks < prompt),), audio=self._generated_audio(codes), num_frames=num_frames,
            max_frames=max_frames, prompt=prompt, **common,
        )  # fmt: skip

    def infill(
        self,
        score: Score | None,
        sound: Sound | None,
        hole: tuple[int, int],
        num_frames: int,
        what: Hollow = "both",
        **common: object,
    ) -> Request:
        """Writes [hole) anew of `what` is there: notes, sound, or both; the other is heard in the hole too."""
        self.delay_of("infill")
        events: tuple[EventStream, ...] = ()
        if score is not None:
            events = (self.events(score, "given" if what == "audio" else "generated", 0, num_frames),)
        audio: tuple[AudioStream, ...] = ()
        if sound is not None:
            role: Role = "given" if what == "midi" else "generated"
            audio = (AudioStream(self.track, role, _of_length(sound.codes, num_frames)),)
        features = self._features(sound) if sound is not None and what == "midi" else None
        return self._request(
            events=events, audio=audio, num_frames=num_frames, holes=(hole,), features=features, **common
        )  # fmt: skip

    def _request(self, **parts: object) -> Request:
        """In the codebook layout and the order of events that the bundle was trained with."""
        sequence = self.bundle.experiment.sequence
        trained = {name: getattr(sequence, name) for name in ("layout", "order") if hasattr(sequence, name)}
        return Request(**trained, **parts)  # type: ignore[arg-type]

    def _legal(self, score: Score, num_frames: int) -> Score:
        legal, _ = legalise(score, self.rate_hz, num_frames)
        return legal

    def _generated_audio(self, codes: NDArray[np.int64]) -> tuple[AudioStream, ...]:
        return tuple(AudioStream(track, "generated", codes) for track in self.bundle.spec.audio_tracks[:1])

    def _no_codes(self, num_frames: int) -> NDArray[np.int64]:
        return np.full((num_frames, self.bundle.spec.num_codebooks), UNGENERATED, np.int64)

    def _features(self, sound: Sound) -> NDArray[np.float32] | None:
        """(A, N, F) with the sound in the first track."""
        if sound.features is None or not self.bundle.spec.feature_dim:
            return None
        features = np.zeros((len(self.bundle.spec.audio_tracks), *sound.features.shape), np.float32)
        features[0] = sound.features
        return features


def _empty(role: Role, delay: int) -> EventStream:
    none = np.zeros(0, np.int64)
    return EventStream(MIDI, role, delay, none, none)


def _of_length(codes: NDArray[np.int64], num_frames: int) -> NDArray[np.int64]:
    if len(codes) < num_frames:
        raise ValueError(f"the sound has {len(codes)} frames, the notes go on to {num_frames}")
    return codes[:num_frames]


def parse_controls(pairs: Mapping[str, str] | list[str]) -> dict[str, str]:
    """Controls from `name=value` words.

    Raises:
        ValueError: for a word without `=`.
    """
    if isinstance(pairs, Mapping):
        return dict(pairs)
    controls = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--control {pair}: a control is written name=value, as style=techno")
        controls[name] = value
    return controls
