"""The task mixture of training: which streams are given, which generated, and how early or late events stand.

Every task is the same sequence with other roles (docs/streams.md, section 6), so a mixture is a list of weights.
A task is drawn for each crop, then a piece that can serve it, then its details: `draw` turns a setting into a
`Plan`, in which nothing is left to chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator

from lh_mm.core.config import Config
from lh_mm.core.infill import Hole
from lh_mm.core.merge import Role
from lh_mm.core.streams import MAX_DELAY

MIDI, CONTEXT = "midi", "midi_ctx"
"""Names of the event streams: what is generated or given, and what accompaniment is given."""

Audio = Literal["given", "generated", "none"]
Hollow = Literal["midi", "audio", "both"]
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Needs:
    """What a piece must have to serve a task."""

    notes: bool = False
    audio: bool = False
    programs: int = 0


@dataclass(frozen=True)
class Plan:
    """One task with everything drawn.

    Attributes:
        midi, context, audio: roles of the two event streams and of every audio track of the piece.
        delay: of `midi`, in slots; `context_delay` of `midi_ctx`.
        ahead: slots by which given frames are shown early.
        length_asked: whether a length is asked for where no stream is given.
        note_dropout: share of given notes left out.
        hole_s: length of the hole, in infill.
        split_programs: whether some instruments are `midi_ctx` and the others `midi`, in accompaniment.
    """

    midi: Role = "absent"
    context: Role = "absent"
    audio: Role = "absent"
    delay: int = 0
    context_delay: int = 0
    ahead: int = 0
    length_asked: bool = False
    note_dropout: float = 0.0
    hole_s: float | None = None
    split_programs: bool = False

    @property
    def gives(self) -> bool:
        """Whether some stream is given, so that its condition can be dropped."""
        return "given" in (self.midi, self.context, self.audio)

    def without_condition(self) -> Plan:
        """The form of classifier-free guidance: delays and the known length stay, what was given is absent."""
        midi, context, audio = ("absent" if role == "given" else role for role in (self.midi, self.context, self.audio))
        return replace(self, length_asked=True, midi=midi, context=context, audio=audio)

    def for_piece(self, has_notes: bool, has_audio: bool) -> Plan:
        """What is left of it for a piece that lacks one of both; a hole is then in what there is."""
        plan = self
        if not has_audio:
            plan = replace(plan, audio="absent", ahead=0)
            plan = replace(plan, midi="generated") if plan.hole_s is not None else plan
        if not has_notes:
            plan = replace(plan, midi="absent", context="absent")
            plan = replace(plan, audio="generated") if plan.hole_s is not None else plan
        return plan


class _Task(Config):
    """What all tasks have."""

    weight: float = Field(1.0, gt=0)
    """Share of the crops, relative to the other tasks."""


class Joint(_Task):
    """Notes and sound together, from nothing; a continuation is the same with its beginning forced."""

    kind: Literal["joint"] = "joint"
    delays: tuple[int, ...] = (0,)
    """Slots by which notes stand behind their sound, one of them a crop; negative is ahead."""
    length_asked: float = Field(0.5, ge=0, le=1)
    """Share of the crops that are told their length."""

    @property
    def needs(self) -> Needs:
        return Needs(notes=True, audio=True)

    @field_validator("delays")
    @classmethod
    def _small(cls, delays: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(delays, -MAX_DELAY, MAX_DELAY)

    def draw(self, rng: np.random.Generator) -> Plan:
        delay, asked = _pick(rng, self.delays), _chance(rng, self.length_asked)
        return Plan("generated", audio="generated", delay=delay, length_asked=asked)


class AudioOnly(_Task):
    """Sound from nothing."""

    kind: Literal["audio_only"] = "audio_only"
    length_asked: float = Field(0.5, ge=0, le=1)
    """Share of the crops that are told their length."""

    @property
    def needs(self) -> Needs:
        return Needs(audio=True)

    def draw(self, rng: np.random.Generator) -> Plan:
        return Plan(audio="generated", length_asked=_chance(rng, self.length_asked))


class MidiOnly(_Task):
    """Notes from nothing."""

    kind: Literal["midi_only"] = "midi_only"
    length_asked: float = Field(0.5, ge=0, le=1)
    """Share of the crops that are told their length."""

    @property
    def needs(self) -> Needs:
        return Needs(notes=True)

    def draw(self, rng: np.random.Generator) -> Plan:
        return Plan("generated", length_asked=_chance(rng, self.length_asked))


class MidiToAudio(_Task):
    """Sound from notes."""

    kind: Literal["midi_to_audio"] = "midi_to_audio"
    delays: tuple[int, ...] = (-2,)
    """Slots by which notes stand behind their sound, 0 or less: -2 shows them two slots early."""
    note_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the notes left out, so that sound which notes do not explain is learnt too."""

    @property
    def needs(self) -> Needs:
        return Needs(notes=True, audio=True)

    @field_validator("delays")
    @classmethod
    def _early(cls, delays: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(delays, -MAX_DELAY, 0)

    def draw(self, rng: np.random.Generator) -> Plan:
        return Plan("given", audio="generated", delay=_pick(rng, self.delays), note_dropout=self.note_dropout)


class AudioToMidi(_Task):
    """Notes from sound."""

    kind: Literal["audio_to_midi"] = "audio_to_midi"
    delays: tuple[int, ...] = (2,)
    """Slots by which notes stand behind their sound, 1 or more: the least that hears an onset before writing it."""

    @property
    def needs(self) -> Needs:
        return Needs(notes=True, audio=True)

    @field_validator("delays")
    @classmethod
    def _late(cls, delays: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(delays, 1, MAX_DELAY)

    def draw(self, rng: np.random.Generator) -> Plan:
        return Plan("generated", audio="given", delay=_pick(rng, self.delays))


class Accompany(_Task):
    """Some instruments from the others, with the sound given, generated beside them or left out."""

    kind: Literal["accompany"] = "accompany"
    audio: Mapping[Audio, float] = {"given": 1.0, "generated": 1.0, "none": 1.0}
    """Weights of what the sound is. A piece without sound has none."""
    given_delays: tuple[int, ...] = (-1,)
    """Of the given notes, 0 or less."""
    delays: tuple[int, ...] = (0,)
    """Of the generated notes, 0 or more."""
    note_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the given notes left out."""

    @property
    def needs(self) -> Needs:
        return Needs(notes=True, programs=2)

    @field_validator("given_delays")
    @classmethod
    def _early(cls, delays: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(delays, -MAX_DELAY, 0)

    @field_validator("delays")
    @classmethod
    def _late(cls, delays: tuple[int, ...]) -> tuple[int, ...]:
        return _checked(delays, 0, MAX_DELAY)

    def draw(self, rng: np.random.Generator) -> Plan:
        audio = _weighted(rng, self.audio)
        return Plan(
            "generated",
            "given",
            "absent" if audio == "none" else audio,
            delay=_pick(rng, self.delays),
            context_delay=_pick(rng, self.given_delays),
            ahead=1 if audio == "given" else 0,  # what is played now is heard now
            note_dropout=self.note_dropout,
            split_programs=True,
        )


class Infill(_Task):
    """A hole in notes, sound or both, from everything around it."""

    kind: Literal["infill"] = "infill"
    what: Mapping[Hollow, float] = {"midi": 1.0, "audio": 1.0, "both": 1.0}
    """Weights of what is missing in the hole. What is not missing is given; a piece without sound lacks notes."""
    hole_s: tuple[float, float] = (0.5, 3.0)
    """Shortest and longest hole in seconds; at most half of a crop."""

    @property
    def needs(self) -> Needs:
        return Needs()

    def draw(self, rng: np.random.Generator) -> Plan:
        what = _weighted(rng, self.what)
        return Plan(
            "given" if what == "audio" else "generated",
            audio="given" if what == "midi" else "generated",
            hole_s=float(rng.uniform(*self.hole_s)),
        )


TaskConfig = Annotated[
    Joint | AudioOnly | MidiOnly | MidiToAudio | AudioToMidi | Accompany | Infill, Field(discriminator="kind")
]


def can_serve(needs: Needs, num_notes: int, tracks: Sequence[str], programs: Sequence[int]) -> bool:
    """Whether a piece has what a task needs."""
    return (num_notes > 0 or not needs.notes) and (bool(tracks) or not needs.audio) and len(programs) >= needs.programs


def draw_hole(rng: np.random.Generator, hole_s: float, rate_hz: float, num_frames: int) -> Hole:
    """Slots [a, b) of a hole in a crop of `num_frames`."""
    length = int(np.clip(round(hole_s * rate_hz), 1, max(1, num_frames // 2)))
    start = int(rng.integers(0, num_frames - length + 1))
    return start, start + length


def _pick(rng: np.random.Generator, values: Sequence[int]) -> int:
    return int(values[int(rng.integers(len(values)))])


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _weighted(rng: np.random.Generator, weights: Mapping[Name, float]) -> Name:
    names = list(weights)
    chances = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=chances / chances.sum()))]


def _checked(delays: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    if not delays or min(delays) < low or max(delays) > high:
        raise ValueError(f"delays should be one or more slots from {low} to {high}")
    return delays
