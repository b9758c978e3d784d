"""What is asked of a model, and what comes back.

A request is a sequence with holes in it: streams with roles, a length or none, how much of the generated
streams is a prompt, which slots are to be filled anew. The tasks of docs/streams.md, section 6, are settings
of it and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.infill import Hole
from lh_mm.core.merge import AudioStream, EventStream, Layout, Order, Role
from lh_mm.core.streams import SequenceSpec

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Request:
    """One sequence to be completed.

    Attributes:
        events: event streams; those of the spec that are not named are absent. The generated one holds the
            prompt (continue) or the piece around the holes (infill, with `onset_clocks`).
        audio: audio tracks, likewise. Codes are (N, K) of a given track; of a generated one as many frames as
            there are, `UNGENERATED` where an entry is to be drawn although the prompt covers it.
        num_frames: N; None leaves it to the model, which needs that no stream is given.
        max_frames: the longest N where it is left open.
        prompt: slots whose events and codes are taken from the generated streams.
        holes: [a, b) in slots to be filled anew, in time order, apart.
        ahead: slots by which given frames are shown early.
        layout: of generated codes.
        order: whether given events stand beside what they cause or all before it.
        controls: values by name; a control that is not named is absent.
        features: (A, N, F) of given frames for the front end, or None.
        feature_given: (A, N) where a feature may be heard; None for all.
        states: (N, R) note states of given notes, for a model that takes them instead of events, or None.
        is_crop: whether the piece began earlier.
        seed: of the draws.
    """

    events: tuple[EventStream, ...] = ()
    audio: tuple[AudioStream, ...] = ()
    num_frames: int | None = None
    max_frames: int = 4500
    prompt: int = 0
    holes: tuple[Hole, ...] = ()
    ahead: int = 0
    layout: Layout = "delay"
    order: Order = "merged"
    controls: Mapping[str, str | None] = field(default_factory=dict)
    features: NDArray[np.float32] | None = None
    feature_given: NDArray[np.bool_] | None = None
    states: NDArray[np.uint8] | None = None
    is_crop: bool = False
    seed: int = 0

    def completed(self, spec: SequenceSpec) -> Request:
        """With every stream of the spec, in its order.

        Raises:
            ValueError: for what no sequence of this spec can hold.
        """
        named_events, named_audio = {s.name: s for s in self.events}, {t.name: t for t in self.audio}
        for kind, named, known in (
            ("event stream", named_events, spec.event_streams),
            ("audio track", named_audio, spec.audio_tracks),
        ):
            if unknown := sorted(set(named) - set(known)):
                raise ValueError(f"the model has no {kind} '{unknown[0]}', it has {', '.join(known) or 'none'}")
        check_controls(self.controls, spec)
        nothing = np.zeros((0, spec.num_codebooks), np.int64)
        made = replace(
            self,
            events=tuple(named_events.get(n) or EventStream(n, "absent", 0, _NONE, _NONE) for n in spec.event_streams),
            audio=tuple(named_audio.get(n) or AudioStream(n, "absent", nothing) for n in spec.audio_tracks),
        )
        made._check(spec)
        return made

    def _check(self, spec: SequenceSpec) -> None:
        streams: list[EventStream | AudioStream] = [*self.events, *self.audio]
        generated = [s.name for s in streams if s.role == "generated"]
        given = [s.name for s in streams if s.role == "given"]
        if sum(s.role == "generated" for s in self.events) > 1:
            raise ValueError(f"at most one event stream can be generated, got {generated}")
        if not generated:
            raise ValueError("a request needs a stream to generate")
        if self.num_frames is None and (given or self.holes):
            raise ValueError(f"num_frames is needed where streams are given ({given}) or holes are filled")
        if self.num_frames is not None and self.num_frames < max(1, self.prompt):
            raise ValueError(f"num_frames should be at least 1 and the prompt's {self.prompt}, got {self.num_frames}")
        if self.num_frames is None and self.max_frames < max(1, self.prompt + 1):
            raise ValueError(f"max_frames should exceed the prompt's {self.prompt} slots, got {self.max_frames}")
        for track in self.audio:
            wanted = (self.num_frames if track.role == "given" else len(track.codes), spec.num_codebooks)
            if track.role != "absent" and track.codes.shape != wanted:
                raise ValueError(f"track '{track.name}' should hold {wanted} codes, got {track.codes.shape}")
            if track.role == "generated" and len(track.codes) < self.prompt:
                raise ValueError(f"a prompt of {self.prompt} slots needs as many frames, got {len(track.codes)}")
        if self.holes:
            self._check_holes()
        if self.features is not None:
            shape = (len(spec.audio_tracks), self.num_frames, spec.feature_dim)
            if self.features.shape != shape:
                raise ValueError(f"features should have the shape {shape}, got {self.features.shape}")

        if self.states is not None and self.states.shape != (self.num_frames, spec.state_dim):
            wanted = (self.num_frames, spec.state_dim)
            raise ValueError(f"states should have the shape {wanted}, got {self.states.shape}")

    def _check_holes(self) -> None:
        if self.prompt or self.ahead or any(s.delay for s in self.events):
            raise ValueError("infill takes no prompt, no ahead and no delays")
        if self.order != "merged":
            raise ValueError("infill is of a merged sequence, not of one with a prefix")
        before = 0
        for a, b in self.holes:
            if not before <= a < b <= (self.num_frames or 0):
                raise ValueError(
                    f"holes should lie in [0, {self.num_frames}), in order and apart, got {list(self.holes)}"
                )
            before = b
        for track in self.audio:
            if track.role == "generated" and len(track.codes) != self.num_frames:
                raise ValueError(
                    f"infill needs track '{track.name}' around its holes: {self.num_frames} frames, "
                    f"got {len(track.codes)}"
                )

    def without_condition(self) -> Request:
        """The form that condition dropout trains: what is given is absent, delays and length stay."""

        def role(old: Role) -> Role:
            return "absent" if old == "given" else old

        return replace(
            self,
            events=tuple(
                EventStream(s.name, "absent", s.delay, _NONE, _NONE) if s.role == "given" else s for s in self.events
            ),
            audio=tuple(replace(t, role=role(t.role)) for t in self.audio),
            features=None,
            states=None,
        )

    @property
    def generated(self) -> int | None:
        """Index of the generated event stream."""
        return next((i for i, s in enumerate(self.events) if s.role == "generated"), None)

    @property
    def length_known(self) -> bool:
        """Whether END is never a choice."""
        return self.num_frames is not None

    @property
    def roles(self) -> list[Role]:
        """Of every event stream, then of every audio track."""
        return [s.role for s in self.events] + [t.role for t in self.audio]

    @property
    def gives(self) -> bool:
        """Whether some stream is given."""
        return "given" in self.roles


def check_controls(controls: Mapping[str, str | None], spec: SequenceSpec) -> None:
    """Raises ValueError for a control that the model has not, or a value that it has not been trained with."""
    known = {control.name: control for control in spec.controls}
    for name, value in controls.items():
        if name not in known:
            raise ValueError(f"the model has no control '{name}', it has {', '.join(known) or 'none'}")
        known[name].id_of(value)


@dataclass(frozen=True)
class Result:
    """A finished sequence.

    Attributes:
        num_frames: N.
        clocks: (E,) frames of the generated stream's events, prompt or surroundings included.
        ids: (E,) their ids.
        codes: codes (N, K) of each generated track by name, prompt or surroundings included.
        num_positions: positions the model has read.
        seconds: of wall time for the whole batch of rows.
        nats: negative log-likelihood of what was drawn at temperature 1 without guidance, by head (`event`,
            `code0`, ...), with the number of draws; empty unless it was asked for.
    """

    num_frames: int
    clocks: NDArray[np.int64]
    ids: NDArray[np.int64]
    codes: Mapping[str, NDArray[np.int64]]
    num_positions: int
    seconds: float
    nats: Mapping[str, tuple[float, int]]

    @property
    def positions_per_s(self) -> float:
        """Speed of this row in its batch."""
        return self.num_positions / max(self.seconds, 1e-9)
