"""Nats of a symbolic model's tokens by their type, and per token, note and second with intervals by piece."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.merge import Kind
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.evaluate.bootstrap import bootstrap
from lh_mm.music.chorale import Chorale
from lh_mm.music.musenet import Musenet
from lh_mm.music.tokenizer import Vocabulary


class TokenNats:
    """Gathers what `measure_likelihood` observes.

    Args:
        vocabulary: of the tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._types = np.array([*(token_type(vocabulary, i) for i in range(vocabulary.size)), "FRAME", "END"])
        self._by_type: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        self._by_piece: dict[str, NDArray[np.float64]] = {}

    def observe(
        self, own: EvaluationRow, at: NDArray[np.int64], ids: NDArray[np.int64], nats: NDArray[np.float64]
    ) -> None:
        """One row's targets, see `measure_likelihood`."""
        types = self._types[ids]
        if isinstance(self.vocabulary, Chorale):
            types = np.where(types == "END", types, _held(own, at, ids, self.vocabulary.voices))
        for name in np.unique(types).tolist():
            total = self._by_type[name]
            total[0] += float(nats[types == name].sum())
            total[1] += int((types == name).sum())
        sums = np.array([nats.sum(), len(nats), own.num_notes, own.seconds])
        self._by_piece[own.piece_id] = self._by_piece.get(own.piece_id, np.zeros(4)) + sums

    def summary(self) -> dict[str, Any]:
        """Plain values: `types` (nats a token, and how many), and three figures with intervals by piece."""
        pieces = list(self._by_piece)
        table = np.array([self._by_piece[piece] for piece in pieces]).reshape(-1, 4).T
        columns = dict(zip(("nats", "tokens", "notes", "seconds"), (row.tolist() for row in table), strict=True))
        figures: dict[str, Any] = {
            "types": {
                name: {"nats_per_token": total / count, "tokens": count}
                for name, (total, count) in sorted(self._by_type.items())
            }
        }
        for name, over, scale in (
            ("nats_per_token", "tokens", 1.0), ("nats_per_note", "notes", 1.0),
            ("bits_per_second", "seconds", 1 / math.log(2)),
        ):  # fmt: skip
            interval = bootstrap(
                columns, pieces, lambda m, o=over, k=scale: k * m["nats"] / m[o] if m[o] else float("nan")  # type: ignore[misc]
            )  # fmt: skip
            figures[name] = None if interval is None else interval.model_dump(mode="json")
        return figures


def token_type(vocabulary: Vocabulary, token: int) -> str:
    """The kind of a token: its name without the value; of MuseNet's on, off, drum, wait and start."""
    name = vocabulary.name(token)
    if isinstance(vocabulary, Musenet):
        if name.startswith("drums"):
            return "drum"
        return name.split(":")[0] if ":v" not in name else "off" if ":v0:" in name else "on"
    return re.split(r"[=_](?=-?\d|drums)", name)[0]


def _held(own: EvaluationRow, at: NDArray[np.int64], ids: NDArray[np.int64], voices: int) -> NDArray[np.str_]:
    """Whether each voice goes on with its pitch: three tokens in four do, so the others are the music."""
    merged = own.row.merged
    before = at - voices + 1  # where the same voice's last token was read
    known = before >= 1
    last = np.where(known, merged.event_id[np.maximum(before, 0)], -1)
    known &= merged.kind[np.maximum(before, 0)] == Kind.EVENT
    return np.where(known & (last == ids), "held", "changed")
