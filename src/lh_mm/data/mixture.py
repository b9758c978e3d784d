"""Training rows of merged sequences: task by weight, piece by length, crop by chance; row n is always row n.

Everything about row n is drawn from (seed, n), so workers, ranks, accumulation and resuming change nothing:
they only decide who makes which row. Validation rows are a fixed list without any dropout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lh_mm.core.config import Config
from lh_mm.core.merge import Layout, Order
from lh_mm.core.streams import Row, SequenceSpec, StreamSpec
from lh_mm.data.controls import control_specs
from lh_mm.data.crops import CropReader
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.data.splits import Split
from lh_mm.data.tasks import CONTEXT, MIDI, Accompany, Infill, MidiOnly, Plan, TaskConfig, can_serve
from lh_mm.music.note_state import NUM_STATES
from lh_mm.music.vocabulary import DRUM_ON, NOTE_OFF, NOTE_ON, PROGRAM, EventVocabulary

VALIDATION = 1
"""Second word of the seed of validation rows; training rows have 0."""


class MergedConfig(Config):
    """Rows of merged sequences."""

    kind: Literal["merged"] = "merged"
    tasks: tuple[TaskConfig, ...] = (MidiOnly(),)
    """What is trained, by weight."""
    crop_s: float = Field(10.0, gt=0)
    """Length of a crop in seconds; positions differ, for events come on top of frames."""
    velocity_bins: int = Field(32, ge=1, le=127)
    """Loudness levels of event tokens."""
    layout: Layout = "delay"
    """Codebooks of generated frames: `delay` writes code k of a frame k positions later, so that it hears the coarser
    ones first; `parallel` writes all at once."""
    order: Order = "merged"
    """Given events stand `merged` with the frames that they cause, or before all frames as a `prefix` (an ablation;
    crops are cut first then, `cut_share: 1`)."""
    given_notes: Literal["events", "states", "both"] = "events"
    """Notes that sound is made from, as event tokens, as the note state of every frame (an ablation: magenta-realtime
    2's form), or as both: events say who plays, states what sounds now. Other tasks show events in the form `both`."""
    cut_share: float = Field(0.5, ge=0, le=1)
    """Share of the crops that are cut first and built then, the form in which part of a piece is generated; the
    others are windows of the whole piece's sequence."""
    start_share: float = Field(0.1, ge=0, le=1)
    """Share of the crops that begin where the piece does; by chance alone almost none would."""
    end_share: float = Field(0.1, ge=0, le=1)
    """Share of the crops that end where the piece does, so that END is learnt."""
    condition_dropout: float = Field(0.1, ge=0, le=1)
    """Share of the crops whose given streams are absent, for classifier-free guidance."""
    control_dropout: float = Field(0.2, ge=0, le=1)
    """Share of each control left out."""
    no_controls: float = Field(0.1, ge=0, le=1)
    """Share of the crops without any control."""

    @model_validator(mode="after")
    def _prefix_of_whole_pieces(self) -> Self:
        if self.order == "prefix":
            if self.cut_share != 1.0:
                raise ValueError(f"order: prefix needs cut_share: 1, got {self.cut_share:g}")
            if any(isinstance(task, Infill) for task in self.tasks):
                raise ValueError("order: prefix does not go with the task infill, which is of merged sequences")
        if self.given_notes == "states" and any(isinstance(task, Infill | Accompany) for task in self.tasks):
            raise ValueError("given_notes: states does not go with the tasks infill and accompany")
        return self

    def build(self, prepared: PreparedSet, parent: SequenceSpec | None = None) -> MergedRows:
        return MergedRows(prepared, self, parent)


@dataclass(frozen=True)
class MergedRows:
    """A row source: `train_row` and `valid_row`, and the spec that a model is built from.

    Attributes:
        prepared: the set.
        config: the mixture.
        parent: streams of a bundle whose weights are used: rows are made in them.

    Raises:
        ValueError: no training piece can serve one of the tasks, or the set does not fit the parent.
    """

    prepared: PreparedSet
    config: MergedConfig
    parent: SequenceSpec | None = None

    def __post_init__(self) -> None:
        if self.parent is not None:
            self._check_parent(self.parent)
        if not self.prepared.pieces("train"):
            raise ValueError(f"{self.prepared.path} has no training pieces")
        for number, task in enumerate(self.config.tasks):
            if not self._servers("train", number)[0]:
                raise ValueError(self._unserved(task))

    def _unserved(self, task: TaskConfig) -> str:
        needs, tracks = task.needs, self.prepared.audio_tracks
        wanted = [word for word, asked in (("notes", needs.notes), ("sound", needs.audio)) if asked]
        wanted += [f"{needs.programs} instruments"] if needs.programs else []
        return (
            f"tasks: no training piece of {self.prepared.path} has what '{task.kind}' needs "
            f"({' and '.join(wanted)}); its {len(self.prepared.pieces('train'))} training pieces have audio tracks "
            f"{', '.join(tracks) or 'none'}. Train on what there is, for example "
            f"sequence.tasks=[{{kind: {'audio_only' if tracks else 'midi_only'}}}]"
        )

    @cached_property
    def vocabulary(self) -> EventVocabulary:
        """Of events; travels in the bundle."""
        return EventVocabulary(self.config.velocity_bins)

    @cached_property
    def spec(self) -> SequenceSpec:
        """All streams that some task of the mixture may use, or the parent's."""
        if self.parent is not None:
            return self.parent
        prepared, tasks = self.prepared, self.config.tasks
        names = [CONTEXT, MIDI] if any(isinstance(task, Accompany) for task in tasks) else [MIDI]
        streams = [StreamSpec(name, "midi", self.vocabulary.size) for name in names]
        if prepared.num_codebooks and prepared.audio_tracks and any(task.kind != "midi_only" for task in tasks):
            size = int(prepared.about["codec"]["codebook_size"])
            streams += [StreamSpec(name, "codes", size, prepared.num_codebooks) for name in prepared.audio_tracks]
            if prepared.num_features and any(task.kind in ("audio_to_midi", "accompany", "infill") for task in tasks):
                streams.append(StreamSpec("features", "features", dim=prepared.num_features))
        if self.config.given_notes != "events":
            streams.append(StreamSpec("note_state", "states", dim=NUM_STATES))
        return SequenceSpec(tuple(streams), prepared.rate_hz, True, control_specs(prepared.about["controls"]))

    def _check_parent(self, parent: SequenceSpec) -> None:
        """A set without sound fits any parent; what it has and tasks use must have the parent's shape."""
        own = [("rate_hz", self.prepared.rate_hz, parent.rate_hz)]
        own += [("event vocabulary", self.vocabulary.size, parent.event_vocabulary_size)]
        notes_alone = not parent.num_codebooks and all(task.kind == "midi_only" for task in self.config.tasks)
        if self.prepared.num_codebooks and not notes_alone:
            own += [("codebooks", self.prepared.num_codebooks, parent.num_codebooks)]
        if self.prepared.num_features and parent.feature_dim:
            own += [("feature bins", self.prepared.num_features, parent.feature_dim)]
        for name, here, there in own:
            if here != there:
                raise ValueError(f"{self.prepared.path}: {name} {here}, but the bundle was trained with {there}")

    @property
    def crop_slots(self) -> int:
        """Slots of a crop."""
        return max(2, round(self.config.crop_s * self.prepared.rate_hz))

    @cached_property
    def reader(self) -> CropReader:
        """Builds rows."""
        return CropReader(
            self.prepared, self.spec, self.vocabulary, self.config.layout, self.config.order, self.config.given_notes
        )

    def train_row(self, seed: int, index: int) -> Row:
        """Row `index` of the endless training order of `seed`."""
        rng = np.random.default_rng([seed, 0, index])
        weights = np.array([task.weight for task in self.config.tasks])
        task = int(rng.choice(len(weights), p=weights / weights.sum()))
        row = self._row("train", task, rng, training=True)
        return self._without_controls(row, rng)

    def valid_row(self, index: int, split: Split = "valid") -> Row:
        """Row `index` of the fixed list of a held-out split; tasks take turns."""
        tasks = [number for number in range(len(self.config.tasks)) if self._servers(split, number)[0]]
        if not tasks:
            raise ValueError(f"no {split} piece of {self.prepared.path} can serve a task of the mixture")
        rng = np.random.default_rng([0, VALIDATION, index])
        return self._row(split, tasks[index % len(tasks)], rng, training=False)

    def evaluation(self, split: Split) -> Iterator[EvaluationRow]:
        """Every piece of a split under every task that it can serve, in windows side by side.

        Each frame is a target once, and each note that begins in a window; infill has one hole a crop.
        """
        for number, task in enumerate(self.config.tasks):
            for place, piece in enumerate(self._servers(split, number)[0]):
                rng = np.random.default_rng([0, VALIDATION, number, place])
                plan = replace(self._plan(piece, number, rng), note_dropout=0.0)
                cut = plan.hole_s is not None or self.config.order == "prefix"
                if cut:  # a piece ends where it is cut, and says so, or END would be asked for in its middle
                    plan = replace(plan, length_asked=True)
                num_slots = piece.num_frames if cut else self.reader.num_slots(piece, plan)
                make = self.reader.cut if cut else self.reader.window
                for start in range(0, num_slots, self.crop_slots):
                    row = make(piece, plan, start, self.crop_slots, rng)
                    slots = int(row.merged.hole.sum()) or min(self.crop_slots, num_slots - start)
                    targets = row.merged.event_target
                    notes = ((targets >= NOTE_ON) & (targets < NOTE_OFF)) | ((targets >= DRUM_ON) & (targets < PROGRAM))
                    yield EvaluationRow(piece.id, task.kind, row, slots / self.spec.rate_hz, int(notes.sum()))

    def has(self, split: Split) -> bool:
        """Whether some piece of a split can serve a task."""
        return any(self._servers(split, number)[0] for number in range(len(self.config.tasks)))

    def _servers(self, split: Split, number: int) -> tuple[list[PieceInfo], NDArray[np.float64]]:
        """Pieces that can serve a task, with their chances: by length, a short piece like one crop."""
        if (split, number) not in self._cache:
            needs = self.config.tasks[number].needs
            with_sound = bool(self.prepared.num_codebooks)
            pieces = [
                piece
                for piece in self.prepared.pieces(split)
                if can_serve(needs, piece.num_notes, piece.tracks if with_sound else (), piece.programs)
            ]
            lengths = np.array([max(piece.num_frames, self.crop_slots) for piece in pieces], np.float64)
            self._cache[split, number] = (pieces, lengths / lengths.sum() if pieces else lengths)
        return self._cache[split, number]

    @cached_property
    def _cache(self) -> dict[tuple[Split, int], tuple[list[PieceInfo], NDArray[np.float64]]]:
        return {}

    def _row(self, split: Split, number: int, rng: np.random.Generator, training: bool) -> Row:
        pieces, chances = self._servers(split, number)
        piece = pieces[int(rng.choice(len(pieces), p=chances))]
        plan = self._plan(piece, number, rng)
        if not training:
            plan = replace(plan, note_dropout=0.0)
        elif plan.gives and plan.hole_s is None and rng.random() < self.config.condition_dropout:
            plan = plan.without_condition()
        return self._crop(piece, plan, rng)

    def _plan(self, piece: PieceInfo, number: int, rng: np.random.Generator) -> Plan:
        has_sound = bool(piece.tracks) and self.prepared.num_codebooks > 0
        return self.config.tasks[number].draw(rng).for_piece(piece.num_notes > 0, has_sound)

    def _crop(self, piece: PieceInfo, plan: Plan, rng: np.random.Generator) -> Row:
        cut = plan.hole_s is not None or rng.random() < self.config.cut_share
        slots = piece.num_frames if cut else self.reader.num_slots(piece, plan)
        room = max(0, slots - self.crop_slots)
        where = rng.random()
        if where < self.config.start_share:
            start = 0
        elif where < self.config.start_share + self.config.end_share:
            start = room
        else:
            start = int(rng.integers(0, room + 1))
        if not cut:
            return self.reader.window(piece, plan, start, self.crop_slots, rng)
        if start + self.crop_slots < piece.num_frames:
            plan = replace(plan, length_asked=True)  # the music goes on: no END here
        return self.reader.cut(piece, plan, start, self.crop_slots, rng)

    def _without_controls(self, row: Row, rng: np.random.Generator) -> Row:
        kept = rng.random(len(row.controls)) >= self.config.control_dropout
        if rng.random() < self.config.no_controls:
            kept[:] = False
        return replace(row, controls=[value if keep else 0 for value, keep in zip(row.controls, kept, strict=True)])
