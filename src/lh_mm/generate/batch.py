"""Positions of several writers as one batch of views, and the twin of a row without what is given.

Shapes: R rows, L positions, A tracks, K codebooks, N frames, F feature bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lh_mm.core.merge import ROLES, ZERO, Kind
from lh_mm.core.streams import Header, SequenceSpec, StreamBatch, length_bucket
from lh_mm.generate.request import Request
from lh_mm.generate.writer import CLOCK, CODES, EVENT, FEATURE, HOLE, KIND, SLOT, STREAM, Position
from lh_mm.music.tokens import structure_of


class Batcher:
    """Makes the batches of a generation: header and features are made once.

    Args:
        requests: one for each row, twins included.
        first_slots: of each row's sequence.
        spec: streams of the model.
        device: of the batches.
    """

    def __init__(
        self, requests: Sequence[Request], first_slots: Sequence[int], spec: SequenceSpec, device: torch.device
    ) -> None:
        self.spec, self.device = spec, device
        self.first_slots = np.array(first_slots, np.int64)[:, None]  # (R, 1)
        self.header = _header(requests, first_slots, spec, device)
        self.features, self.feature_given = _features(requests, spec)
        self.states = _states(requests, spec)
        planned = [getattr(r, "planned_tokens", None) or 0 for r in requests]
        self.planned = np.array(planned, np.int64)[:, None] if spec.tells_structure else None
        self.delays = np.array([r.events[0].delay if r.events else 0 for r in requests], np.int64)[:, None]
        if self.features is not None and self.feature_given is not None:
            self.features, self.feature_given = self.features.to(device), self.feature_given.to(device)

    def batch(self, parts: Sequence[Sequence[Position]]) -> StreamBatch:
        """Positions of each row, padded on the right."""
        tracks, books = len(self.spec.audio_tracks), self.spec.num_codebooks
        length = max(len(part) for part in parts)
        table = np.full((len(parts), length, CODES + tracks * books), -1, np.int64)
        table[..., KIND], table[..., HOLE] = Kind.PAD, 0
        for row, part in zip(table, parts, strict=True):
            if part:
                row[: len(part)] = part
        states = self._states_at(table)
        table[..., CLOCK] -= self.first_slots  # what the model calls clock begins with the document
        columns = torch.from_numpy(table).to(self.device)
        return StreamBatch(
            kind=columns[..., KIND],
            slot=columns[..., SLOT],
            clock=columns[..., CLOCK],
            event_id=columns[..., EVENT],
            stream=columns[..., STREAM],
            codes=columns[..., CODES:].unflatten(-1, (tracks, books)),
            hole=columns[..., HOLE],
            document=torch.zeros_like(columns[..., KIND]),
            header=self.header,
            features=self.features,
            feature_given=self.feature_given,
            feature_index=None if self.features is None else columns[..., FEATURE],
            states=states,
        )

    def _states_at(self, table: NDArray[np.int64]) -> Tensor | None:
        """(R, L, values) note states at frame positions, or where in its piece each token stands."""
        if self.planned is not None:
            return torch.from_numpy(structure_of(table[..., FEATURE], self.planned)).to(self.device)
        if self.states is None:
            return None
        shown = table[..., SLOT] - self.delays
        there = (table[..., KIND] == Kind.FRAME) & (shown >= 0) & (shown < self.states.shape[1])
        states = self.states[np.arange(len(table))[:, None], np.where(there, shown, 0)] * there[..., None]
        return torch.from_numpy(states.astype(np.uint8)).to(self.device)


def without_given(part: Sequence[Position], request: Request) -> list[Position]:
    """The twin's positions: no given events, given frames without codes and features, no tokens that ask."""
    twin = []
    asked: frozenset[int] = getattr(request, "asked", frozenset())
    given = [track.role == "given" for track in request.audio]
    for position in part:
        if position[KIND] == Kind.EVENT:
            if request.events[position[STREAM]].role != "given" and position[FEATURE] not in asked:
                twin.append(position)
        elif position[KIND] == Kind.FRAME and any(given):
            books = len(position[CODES:]) // len(given)
            codes = [ZERO if given[i // books] else code for i, code in enumerate(position[CODES:])]
            twin.append([*position[:FEATURE], -1, *codes])
        else:
            twin.append(position)
    return twin


def _header(
    requests: Sequence[Request], first_slots: Sequence[int], spec: SequenceSpec, device: torch.device
) -> Header:
    """What BOS says of each row's one document."""

    def tensor(values: list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device).unsqueeze(1)  # (R, 1, ...)

    lengths = [
        0 if request.num_frames is None else length_bucket(request.num_frames - first)
        for request, first in zip(requests, first_slots, strict=True)
    ]
    return Header(
        roles=tensor([[ROLES.index(role) for role in r.roles] for r in requests]),
        delays=tensor([[s.delay for s in r.events] for r in requests]),
        length=torch.tensor(lengths, device=device).unsqueeze(1),
        is_crop=torch.tensor([int(r.is_crop) for r in requests], device=device).unsqueeze(1),
        controls=tensor([[c.id_of(r.controls.get(c.name)) for c in spec.controls] for r in requests]),
    )


def _states(requests: Sequence[Request], spec: SequenceSpec) -> NDArray[np.uint8] | None:
    """(R, N, values) padded to the longest row; None if no row has any."""
    longest = max((len(r.states) for r in requests if r.states is not None), default=0)
    if not longest:
        return None
    states = np.zeros((len(requests), longest, spec.state_dim), np.uint8)
    for row, request in zip(states, requests, strict=True):
        if request.states is not None:
            row[: len(request.states)] = request.states
    return states


def _features(requests: Sequence[Request], spec: SequenceSpec) -> tuple[Tensor | None, Tensor | None]:
    """(R, A, N, F) and (R, A, N), padded to the longest row; None if no row has any."""
    sounds = [request.features for request in requests]
    longest = max((sound.shape[1] for sound in sounds if sound is not None), default=0)
    if not longest or not spec.feature_dim:
        return None, None
    shape = (len(requests), len(spec.audio_tracks), longest)
    features, given = np.zeros((*shape, spec.feature_dim), np.float32), np.zeros(shape, bool)
    for i, request in enumerate(requests):
        if request.features is None:
            continue
        n = request.features.shape[1]
        heard: NDArray[np.bool_] = np.array([track.role == "given" for track in request.audio])[:, None]
        given[i, :, :n] = heard if request.feature_given is None else heard & request.feature_given
        features[i, :, :n] = request.features * given[i, :, :n, None]
    return torch.from_numpy(features), torch.from_numpy(given)
