"""Music from tokens that carry their own time: composed from nothing, or gone on with, any length, many at once.

A model was trained on windows, so longer pieces are written window by window: when one is full, the model is shown the
last half of it anew, as training shows a window in mid-piece; the grammar knows the whole piece. MMM's bars are another
matter: `run/compose_bars.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.core.log import Progress, progress
from lh_mm.data.controls import TEMPO_STEP_BPM
from lh_mm.evaluate.copies import note_codes
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.generate.tokens import TokenRequest, TokenWriter
from lh_mm.music.performance import Performance
from lh_mm.music.score import Meter, Score, meters_from
from lh_mm.music.token_grammar import grammar_of
from lh_mm.music.tokenizer import decode_tokens, first_beat
from lh_mm.run.bundle import Bundle

_SLACK = 8
"""Tokens of a window kept free, for a note that is begun is brought to its end."""
WARMER = 1.1
"""What each further try multiplies the temperature with."""
_NEXT_SEED = 1_000_003
_LEAST_COPY = 4
"""Fewer notes than these may well be the same by chance."""


@dataclass(frozen=True)
class Beginning:
    """What a piece begins with.

    Attributes:
        ids: (T,) its tokens, none for nothing.
        tempo_map: seconds of the grid, its beat 0 at the first token's bar.
        meters: bars of the piece on that grid; None for those that the tokens say.
        controls: values by name.
        until_s: second at which the piece ends; None leaves it to the model.
        seed: of the draws.
    """

    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    tempo_map: TempoMap = field(default_factory=lambda: TempoMap.constant(120.0))
    meters: tuple[Meter, ...] | None = None
    controls: Mapping[str, str | None] = field(default_factory=dict)
    until_s: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Composed:
    """A piece that was written.

    Attributes:
        ids: (T,) its tokens, the beginning's included.
        score: their notes.
        num_drawn: tokens that were drawn.
        num_illegal: of these, tokens that the grammar bars; 0 under its mask.
        ended: whether the model ended it.
        tries: how often it was drawn.
    """

    ids: NDArray[np.int64]
    score: Score
    num_drawn: int
    num_illegal: int
    ended: bool
    tries: int = 1


def compose(
    bundle: Bundle,
    beginnings: Sequence[Beginning],
    sampling: Sampling,
    *,
    max_tokens: int = 4096,
    masked: bool = True,
    guidance: float = 1.0,
    label: str = "composing",
) -> tuple[list[Composed], float]:
    """Write a piece behind each beginning, all in one batch.

    Args:
        bundle: of a model of any tokens but MMM's.
        beginnings: what pieces begin with.
        sampling: how tokens are drawn.
        max_tokens: drawn at most for a piece.
        masked: whether only legal tokens are drawn.
        guidance: above 1 follows controls more closely than training does, at twice the work.
        label: of the progress.

    Returns:
        The pieces, and the seconds they took.

    Raises:
        ValueError: for a control the model does not know, or a bundle of other tokens.
    """
    sequence: Any = bundle.experiment.sequence
    length = int(sequence.length)
    period = getattr(bundle.vocabulary, "period", 1)
    ids = [begun.ids for begun in beginnings]
    drawn, illegal = [0] * len(ids), [0] * len(ids)
    ended = [False] * len(ids)
    open_pieces = list(range(len(ids)))
    started = time.perf_counter()
    with progress(label, None, "tokens") as shown:
        while open_pieces:
            requests = []
            for i in open_pieces:
                kept = min(len(ids[i]), length // 2)
                kept -= (kept - len(ids[i])) % period  # windows begin with a whole step
                begun = beginnings[i]
                requests.append(
                    TokenRequest(
                        ids[i], shown=kept or None, until_s=begun.until_s,
                        planned_tokens=None if begun.until_s else len(begun.ids) + max_tokens,
                        max_tokens=max(1, min(length - kept - _SLACK, max_tokens - drawn[i])), masked=masked,
                        tempo_map=begun.tempo_map, controls=begun.controls, seed=begun.seed * 1009 + drawn[i],
                    )
                )  # fmt: skip
            scale = guidance if any(request.gives for request in requests) else 1.0
            generation = Generation(bundle.model, requests, bundle.vocabulary, events=sampling, guidance=scale)
            still = []
            for i, request, writer in zip(open_pieces, requests, written(generation, shown), strict=True):
                drawn[i] += len(writer.ids) - len(ids[i])
                illegal[i] += writer.num_illegal
                ids[i] = np.array(writer.ids, np.int64)
                over = request.until_s is not None and writer.grammar.seconds(request.tempo_map) >= request.until_s
                ended[i] = writer.ended
                if not (writer.ended or over or drawn[i] >= max_tokens):
                    still.append(i)
            open_pieces = still
    made = [
        Composed(found, _score_of(bundle, found, begun), n, barred, end)
        for found, begun, n, barred, end in zip(ids, beginnings, drawn, illegal, ended, strict=True)
    ]
    return made, time.perf_counter() - started


def compose_tried(
    bundle: Bundle,
    beginnings: Sequence[Beginning],
    sampling: Sampling,
    *,
    tries: int = 3,
    max_tokens: int = 4096,
    guidance: float = 1.0,
) -> list[Composed]:
    """As `compose`; what comes out silent, or says the end of its beginning again, is drawn again, each time warmer.

    Args:
        bundle, beginnings, sampling, max_tokens, guidance: as `compose` takes them.
        tries: at most, 1 or more; the last one is kept, whatever it is.
    """
    made: dict[int, Composed] = {}
    for attempt in range(tries if sampling.temperature > 0 else 1):  # the likeliest is the same each time
        asked = [i for i in range(len(beginnings)) if i not in made or _is_poor(bundle, beginnings[i], made[i])]
        if not asked:
            break
        begun = [replace(beginnings[i], seed=beginnings[i].seed + attempt * _NEXT_SEED) for i in asked]
        found, _ = compose(bundle, begun, warmer(sampling, attempt), max_tokens=max_tokens, guidance=guidance)
        made |= {i: replace(one, tries=attempt + 1) for i, one in zip(asked, found, strict=True)}
    return [made[i] for i in range(len(beginnings))]


def warmer(sampling: Sampling, attempt: int) -> Sampling:
    """How a further try is drawn; `attempt` counts from 0."""
    return replace(sampling, temperature=sampling.temperature * WARMER**attempt)


def _is_poor(bundle: Bundle, begun: Beginning, made: Composed) -> bool:
    """Whether no note is new, or the new ones (`_LEAST_COPY` or more) are those before them again."""
    # Notes that the beginning leaves open may come out only with what is drawn: begun ones are counted, not decoded.
    new = int(bundle.vocabulary.begins_note(made.ids[len(begun.ids) :]).sum())
    if new == 0 or not len(made.score):
        return True
    codes = note_codes(made.score, isinstance(bundle.vocabulary, Performance))[-2 * new :]
    if new < _LEAST_COPY or len(codes) < 2 * new:
        return False
    before, after = codes[:new], codes[new:]
    # The last note has no gap behind it.
    return np.array_equal(before[:-1], after[:-1]) and bool(before[-1] % 256 == after[-1] % 256)


def written(generation: Generation, shown: Progress) -> list[TokenWriter]:
    """Run a generation of token requests to its end, showing tokens as they come; who wrote each row."""
    while generation.step():
        shown.advance(sum(row.ask is not None for row in generation.rows))
    return [row.writer for row in generation.rows if isinstance(row.writer, TokenWriter)]


def _score_of(bundle: Bundle, ids: NDArray[np.int64], begun: Beginning) -> Score:
    score = decode_tokens(bundle.vocabulary, ids, begun.tempo_map, problems={})
    if begun.meters is not None and not isinstance(bundle.vocabulary, Performance):  # whose beats are no piece's
        score = replace(score, meters=begun.meters)
    if begun.until_s is None or score.duration_s <= begun.until_s:
        return score
    return score.crop(0.0, begun.until_s)  # the last wait may have led beyond


def beginning_of(
    bundle: Bundle, score: Score, prompt_s: float, until_s: float | None, controls: Mapping[str, str | None], seed: int
) -> Beginning:
    """The tokens of a score that stand before second `prompt_s`; notes that are held then are not cut.

    What begins before it is told whole where tokens say durations; where they say ends, the ends are left to be drawn.
    """
    vocabulary = bundle.vocabulary
    tokens = vocabulary.encode(score)  # type: ignore[union-attr]
    count, grammar = 0, grammar_of(vocabulary)
    for i, (token, at_s) in enumerate(zip(tokens.ids.tolist(), tokens.times_s.tolist(), strict=True)):
        if at_s >= prompt_s:
            break
        grammar.push(token)
        count = i + 1 if grammar.may_end else count
    first = first_beat(vocabulary, score)
    tempo_map = TempoMap(score.tempo_map.beats - first, score.tempo_map.seconds)
    return Beginning(
        tokens.ids[:count].astype(np.int64), tempo_map, meters_from(score.meters, first), controls, until_s, seed
    )


def tempo_of(controls: Mapping[str, str | None]) -> TempoMap:
    """The tempo that controls ask for (the middle of its bucket), 120 bpm where they ask for none."""
    asked = controls.get("tempo")
    return TempoMap.constant(120.0 if asked is None else float(asked.partition("-")[0]) + TEMPO_STEP_BPM / 2)
