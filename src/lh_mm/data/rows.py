"""What training asks of data: rows by number. A row source is a prepared set seen through a tokenizer.

`SequenceConfig` is the union of row sources that an experiment can name: merged sequences of all streams, or a
symbolic tokenizer with its own time tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Protocol

from pydantic import Field

from lh_mm.core.streams import Row, SequenceSpec
from lh_mm.data.bar_rows import MmmConfig
from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.splits import Split
from lh_mm.data.symbolic import ChoraleConfig, MidiTokConfig, MusenetConfig, PerformanceConfig, RemiConfig
from lh_mm.music.tokenizer import Vocabulary
from lh_mm.music.vocabulary import EventVocabulary


class RowSource(Protocol):
    """Rows of a training run."""

    @property
    def spec(self) -> SequenceSpec:
        """What a model is built from."""
        ...

    @property
    def vocabulary(self) -> EventVocabulary | Vocabulary:
        """What the event ids mean; travels in the bundle."""
        ...

    def train_row(self, seed: int, index: int) -> Row:
        """Row `index` of the endless training order of `seed`: the same whoever asks."""
        ...

    def valid_row(self, index: int, split: Split = "valid") -> Row:
        """Row `index` of a fixed list."""
        ...

    def evaluation(self, split: Split) -> Iterator[EvaluationRow]:
        """All of a split, for likelihoods by note and second."""
        ...

    def has(self, split: Split) -> bool:
        """Whether a split has rows at all."""
        ...


SequenceConfig = Annotated[
    MergedConfig | RemiConfig | PerformanceConfig | MusenetConfig | ChoraleConfig | MidiTokConfig | MmmConfig,
    Field(discriminator="kind"),
]
