"""What BOS says, said in words before the music, for text models that learn to go on with it.

Style, tempo, key, instruments are phrases of the text model's own tokens (`style: funk, tempo: 100-109, `), read by its
own vectors of words; a control that is not said has no phrase. The phrases are worked out once and become part of the
weights, so a bundle needs neither the text model's folder nor its tokenizer.

Shapes: B rows, C controls, N values of the control that has most, T words of the longest phrase, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lh_mm.core.streams import Header, SequenceSpec


class Words(nn.Module):
    """Phrases of controls and the vectors of their words.

    Args:
        spec: controls.
        num_words: different words of all phrases.
        longest: T.
        dim: D.
    """

    phrases: Tensor

    def __init__(self, spec: SequenceSpec, num_words: int, longest: int, dim: int) -> None:
        super().__init__()
        most = max((len(control.values) for control in spec.controls), default=0)
        empty = torch.full((len(spec.controls), 1 + most, longest), -1)
        self.register_buffer("phrases", empty)  # value 0 is absent; -1 where a phrase is over
        self.embedding = nn.Embedding(num_words, dim)

    @classmethod
    def of(cls, tokenizer: Any, vectors: Tensor, spec: SequenceSpec) -> Words:
        """The phrases of a spec in a tokenizer's words.

        Args:
            tokenizer: of `transformers`.
            vectors: (words, D) of its text model.
            spec: controls.

        Raises:
            ValueError: if the tokenizer has no words for a phrase, as one that is made without its files.
        """
        said = [
            [tokenizer(phrase(c.name, v), add_special_tokens=False).input_ids for v in c.values] for c in spec.controls
        ]
        for control, values in zip(spec.controls, said, strict=True):
            for value, ids in zip(control.values, values, strict=True):
                if phrase(control.name, value) and not ids:
                    raise ValueError(f"the tokenizer has no words for '{phrase(control.name, value)}'")
        used = sorted({word for values in said for ids in values for word in ids})
        place = {word: i for i, word in enumerate(used)}
        longest = max((len(ids) for values in said for ids in values), default=0)
        words = cls(spec, len(used), longest, vectors.shape[1])
        for c, values in enumerate(said):
            for v, ids in enumerate(values):
                words.phrases[c, 1 + v, : len(ids)] = torch.tensor([place[word] for word in ids], dtype=torch.int64)
        with torch.no_grad():
            words.embedding.weight.copy_(vectors[used])
        return words

    @property
    def shape(self) -> tuple[int, int]:
        """Words and the longest phrase: what a fresh one is made with."""
        return self.embedding.num_embeddings, self.phrases.shape[2]

    def forward(self, header: Header) -> tuple[Tensor, Tensor]:
        """What is said of each row's document: vectors (B, W, D) and which of them are words (B, W), at the front.

        Raises:
            ValueError: for rows of several documents.
        """
        if header.controls.shape[1] != 1:
            raise ValueError("a model that reads words takes one document a row")
        controls = header.controls[:, 0]  # (B, C)
        which = torch.arange(controls.shape[1], device=controls.device)
        ids = self.phrases[which, controls].flatten(1)  # (B, C T)
        order = (ids < 0).to(torch.int8).argsort(dim=1, stable=True)
        ids = ids.gather(1, order)[:, : max(int((ids >= 0).sum(1).max()), 0)]
        return self.embedding(ids.clamp(min=0)), ids >= 0


def phrase(name: str, value: str) -> str:
    """A control in words, as `style: funk, `, or `piano, ` for an instrument that plays."""
    if name.startswith("plays_"):
        return f"{name.removeprefix('plays_')}, " if value == "yes" else ""
    return f"{name}: {value}, "
