"""What a run would cost, estimated from its configuration: parameters, memory, tokens, time.

The model is built on the `meta` device, which holds no numbers. Time is counted operations over a measured
matrix product, times the share of that speed which training reached when it was measured on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch

from lh_mm.core.streams import SequenceSpec, StreamSpec
from lh_mm.data.bar_rows import MmmConfig
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.recipe import load_recipe
from lh_mm.models.hybrid_mamba import HybridMambaConfig
from lh_mm.models.load import load_codec
from lh_mm.models.musenet import MusenetModelConfig
from lh_mm.models.music_transformer import MusicTransformerConfig
from lh_mm.music.mmm import Mmm
from lh_mm.music.note_state import NUM_STATES
from lh_mm.music.vocabulary import EventVocabulary
from lh_mm.run.experiment import Experiment
from lh_mm.systems.throughput import peak_matmul_flops
from lh_mm.systems.trainer import faster_precision

EVENTS_PER_S = 90.0
"""Event tokens a second of music assumed for a plan: a dense dance piece of the synthetic corpus has about that."""
EFFICIENCY = 0.25
"""Share of a large matrix product's speed that a training step of a small model reaches on two cores (measured
at about 0.2 to 0.3 with the demo's model; see docs/log.md)."""


def plan_text(experiment: Experiment) -> str:
    """The plan of an experiment, a line a figure."""
    spec, how = planned_spec(experiment)
    with torch.device("meta"):
        model = experiment.model.build(spec)
    trainer = experiment.trainer
    precision = faster_precision() if trainer.precision == "auto" else trainer.precision
    positions = planned_positions(experiment, spec)
    rows = trainer.batch_size * trainer.accumulate * trainer.devices
    per_step = rows * positions
    total = per_step * trainer.max_steps
    num_parameters = model.num_parameters()
    # Weights, gradients, two moments and the average, in fp32.
    states_gb = num_parameters * 4 * 5 / 2**30
    width = 2 if precision == "bf16" else 4
    activations_gb = trainer.batch_size * positions * _activation_floats(experiment) * width / 2**30
    operations = model.flops_per_position(positions) * positions_per_s(experiment, spec)
    flops = 3 * model.flops_per_position(positions) * total / trainer.devices
    seconds = flops / (peak_matmul_flops("cpu", precision) * EFFICIENCY)
    minutes = seconds / 60
    limit = f", stopped after {trainer.max_minutes:g}" if trainer.max_minutes and minutes > trainer.max_minutes else ""
    return "\n".join(
        [
            f"{experiment.name}: {experiment.question}",
            f"parameters   {num_parameters:,}",
            f"precision    {precision} on {trainer.devices} device(s)",
            f"memory       about {states_gb:.2f} GB of weights and optimiser, {activations_gb:.2f} GB of activations",
            f"a step       {rows} rows of about {positions:,} positions: {per_step:,} positions",
            f"operations   {operations / 1e9:.2f} billion a second of music, forward",
            f"tokens       {total:,} positions in {trainer.max_steps:,} steps",
            f"time         about {minutes:.0f} minutes on this machine{limit} (estimated: {flops:.2e} operations)",
            f"assumed      {how}",
        ]
    )


def planned_spec(experiment: Experiment) -> tuple[SequenceSpec, str]:
    """The streams that the experiment's data will have, without preparing it, and what was assumed."""
    sequence = experiment.sequence
    if not isinstance(sequence, MergedConfig):
        size = Mmm().size if isinstance(sequence, MmmConfig) else sequence.tokenizer((0, 1, 2)).size
        return SequenceSpec((StreamSpec("midi", "midi", size),), 75.0, merged=False), "three instruments, no controls"
    recipe = load_recipe(experiment.data.recipe or "folder", _folder_overrides(experiment)).config
    rate_hz = recipe.rate_hz or 75.0
    streams = [StreamSpec("midi", "midi", EventVocabulary(sequence.velocity_bins).size)]
    if recipe.codec is not None:
        codec = load_codec(recipe.codec.source)
        rate_hz = codec.rate_hz
        streams.append(StreamSpec("mix", "codes", codec.codebook_size, codec.num_codebooks))
    if recipe.features is not None:
        streams.append(StreamSpec("features", "features", dim=recipe.features.num_features))
    if sequence.given_notes != "events":
        streams.append(StreamSpec("note_state", "states", dim=NUM_STATES))
    return SequenceSpec(tuple(streams), rate_hz), f"{EVENTS_PER_S:g} event tokens a second of music, no controls"


def _folder_overrides(experiment: Experiment) -> list[str]:
    own = experiment.data.override_list
    return own if experiment.data.folder is None else [*own, f"path={experiment.data.folder}"]


def positions_per_s(experiment: Experiment, spec: SequenceSpec) -> float:
    """Positions a second of music: frames where there are any, and events."""
    if not isinstance(experiment.sequence, MergedConfig):
        return EVENTS_PER_S
    return spec.rate_hz + EVENTS_PER_S


def planned_positions(experiment: Experiment, spec: SequenceSpec) -> int:
    """Positions of a row."""
    sequence: Any = experiment.sequence
    if not isinstance(sequence, MergedConfig):
        return int(sequence.length)
    return round(sequence.crop_s * positions_per_s(experiment, spec))


def _activation_floats(experiment: Experiment) -> int:
    """Numbers kept for the backward pass, a position: about 24 widths a mixer and 10 a feed-forward layer."""
    model: Any = experiment.model
    if isinstance(model, MusicTransformerConfig):  # attention of every pair is kept, three times
        length = int(getattr(experiment.sequence, "length", 1024))
        return model.layers * (4 * model.attention_dim + 6 * model.dim + 2 * model.ff_dim + 3 * model.heads * length)
    if isinstance(model, MusenetModelConfig):  # torch's attention keeps no pairs; a mask of a sparse pattern does
        return int(model.layers * (12 + 3 * model.mlp_ratio) * model.dim)
    if not isinstance(model, HybridMambaConfig):
        return 0  # of a model of one's own nothing is known
    # On a GPU Mamba-1 keeps every state, several times over; the others keep chunk states alone.
    per_layer = {"M": 24, "3": 40, "R": 40, "m": 24 + 30 * model.state_dim, "*": 12, "-": 10}
    return sum(per_layer[symbol] for symbol in model.pattern) * model.dim
