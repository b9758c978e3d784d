"""A generation put away and gone on with: what was drawn and the model's state, both or neither.

Going on replays the draws through fresh writers and gives the model its state back; it equals not having stopped, bit
for bit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save

from lh_mm.core.files import read_json, write_atomic, write_json
from lh_mm.models.base import state_from_tensors, state_tensors

if TYPE_CHECKING:
    from lh_mm.generate.sampler import Generation

MANIFEST = "generation.json"
"""Written last, it names the tensors that belong to it."""


def save_generation(generation: Generation, folder: Path) -> None:
    """Put the generation away; it can go on afterwards. Until it is whole, an older one in `folder` holds."""
    tensors = {f"state{name}": value for name, value in state_tensors(generation.state).items()}
    tensors["last"] = generation.last
    for i, row in enumerate(generation.rows):
        tensors[f"lengths.{i}"] = torch.tensor([len(answer) for answer in row.answers], dtype=torch.int64)
        tensors[f"answers.{i}"] = torch.tensor([v for answer in row.answers for v in answer], dtype=torch.int64)
    # Copies, for parts of a state may be views or share memory.
    plain = {name: value.cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    name = f"state-{generation.num_calls}.safetensors"
    with write_atomic(folder / name) as file:
        file.write(save(plain))
    about = {
        "fingerprint": _fingerprint(generation),
        "state": name,
        "num_calls": generation.num_calls,
        "rows": [[row.taken, row.num_positions, row.reported] for row in generation.rows],
        "nats": generation.nats,
        "seconds": generation.seconds,
    }
    write_json(folder / MANIFEST, about)
    for old in folder.glob("state-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_generation(generation: Generation, folder: Path) -> None:
    """Go on from where `save` left off; this generation must be a fresh one of the same.

    Raises:
        ValueError: if what lies there is of another model, other requests or other settings.
    """
    about = read_json(folder / MANIFEST)
    if about["fingerprint"] != _fingerprint(generation):
        raise ValueError(f"{folder} holds a generation of another model, other requests or other settings")
    tensors = {name: value.to(generation.device) for name, value in load_file(folder / about["state"]).items()}
    for i, (row, (taken, num_positions, reported)) in enumerate(zip(generation.rows, about["rows"], strict=True)):
        values = iter(tensors[f"answers.{i}"].tolist())
        for length in tensors[f"lengths.{i}"].tolist():
            row.replay([next(values) for _ in range(length)])
        row.taken, row.num_positions, row.reported = taken, num_positions, reported
    saved = {name.removeprefix("state"): value for name, value in tensors.items()}
    generation.state = state_from_tensors(generation.state, saved)
    generation.last, generation.seconds, generation.num_calls = tensors["last"], about["seconds"], about["num_calls"]
    generation.nats = [{head: (total, int(n)) for head, (total, n) in row.items()} for row in about["nats"]]


def _fingerprint(generation: Generation) -> str:
    """Of all that decides what is drawn."""
    digest = hashlib.sha256()
    settings = (
        generation.event_sampling,
        generation.code_sampling,
        generation.guidance,
        generation.score,
        generation.spec.to_json(),
    )
    digest.update(repr((settings, generation.model.num_parameters(), str(generation.device))).encode())
    for request in generation.requests:
        for name, value in vars(request).items():
            parts = value if name in ("events", "audio") else (value,)
            for part in parts:
                values = vars(part) if name in ("events", "audio") else {name: part}
                for key, one in values.items():
                    array = isinstance(one, np.ndarray)
                    digest.update(f"{key}={one.shape if array else one!r};".encode())
                    digest.update(one.tobytes() if array else b"")
    return digest.hexdigest()
