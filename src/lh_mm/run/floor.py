"""The n-gram floor of a symbolic run: the same tokens, the same split, no model."""

from __future__ import annotations

from typing import Any

import numpy as np

from lh_mm.data.bar_rows import BarRows
from lh_mm.data.splits import Split
from lh_mm.data.token_rows import TokenRows
from lh_mm.evaluate.ngram import WittenBell


def symbolic_floor(source: TokenRows | BarRows, split: Split, max_order: int) -> dict[str, Any]:
    """Witten-Bell figures of a split; the order is chosen on `valid`.

    Args:
        source: of token rows.
        split: what is measured.
        max_order: longest history.
    """
    names: tuple[Split, ...] = ("train", "valid", split)
    tokens = {name: list(source.sequences(name)) for name in names}
    model = WittenBell([ids for ids, _ in tokens["train"]], source.vocabulary.size, max_order)
    by_order = model.nats([ids for ids, _ in tokens["valid"]]).mean(axis=1)
    order = int(by_order.argmin())
    measured = [ids for ids, _ in tokens[split]]
    nats = model.nats(measured)[order]
    num_notes = sum(notes for _, notes in tokens[split])
    floor: dict[str, Any] = {
        "order": order,
        "valid_nats_per_token_by_order": by_order.tolist(),
        "test_nats_per_token": float(nats.mean()),
        "test_nats_per_note": float(nats.sum() / num_notes),
        "tokens": len(nats),
        "notes": num_notes,
        "definition": "interpolated Witten-Bell n-gram over the same tokens, order chosen on valid",
    }
    if isinstance(source, TokenRows):  # where the model's softmax runs over what is legal, this one's does too
        size = source.vocabulary.size  # END is none of an n-gram's choices
        legal = [source.vocabulary.legal(ids.astype(np.int64), is_start=True)[:-1, :size] for ids in measured]
        floor["definition"] += "; legal: each distribution cut to what the grammar allows, as the model's is"
        floor["test_nats_per_note_legal"] = float(model.legal_nats(measured, legal, order).sum() / num_notes)
    return floor
