"""What every sequence model is: one forward from any state, heads apart from the trunk.

Training asks for `hidden` once and for heads only where targets are; generation steps through the same
`hidden` with a state. A state is a value (nested dataclasses of tensors) that the caller keeps; without one
nothing is remembered and nothing is spent on remembering.

Shapes: B rows, L positions, D width, V event ids, A tracks, K codebooks, C codes of one codebook.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from lh_mm.core.streams import SequenceSpec, StreamBatch

State: TypeAlias = Any
"""A model's own dataclass of tensors, see `state_tensors`."""
StateT = TypeVar("StateT")


@dataclass(frozen=True)
class Logits:
    """Unnormalised log-probabilities of what stands at the *next* position.

    Attributes:
        event: (B, L, V + 2), FRAME at V and END at V + 1; what is illegal is masked by the caller.
        codes: (B, L, A, K, C), or None for a sequence without codes.
    """

    event: Tensor
    codes: Tensor | None


@runtime_checkable
class SequenceModel(Protocol):
    """A causal model of merged or unmerged sequences.

    Attributes:
        spec: the streams it was built for.
    """

    spec: SequenceSpec

    def hidden(
        self, batch: StreamBatch, state: State | None = None, active: Tensor | None = None
    ) -> tuple[Tensor, State | None]:
        """What the heads read at each position, (B, L, D), and the state after it.

        Args:
            batch: L >= 1 positions, padded on the right. Features hold the frames from the start of the row;
                those that the state has heard are passed over.
            state: of the positions before; None starts from nothing and keeps nothing. Without gradients its
                buffers are written in place: use a state once.
            active: (B,) rows that advance; the others keep their state bit for bit. None for all.
        """
        ...

    def event_logits(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., V + 2)."""
        ...

    def code_logits(self, hidden: Tensor, drawn: Tensor | None = None, entry: int | None = None) -> Tensor:
        """(..., D) to (..., A, K, C), or to (..., C) of one `entry`, counted through tracks and then codebooks.

        A model may have an attribute `chained`. Where it is true, the logits of an entry (in the order of A, then K)
        may depend on the codes of the entries before it for the same position, `drawn` (..., A, K), below 0 where
        there is none (yet), and entries are drawn one after another. Others are called without `drawn`.
        """
        ...

    def forward(self, batch: StreamBatch, state: State | None = None) -> tuple[Logits, State | None]:
        """All heads at all positions."""
        ...

    def step(self, batch: StreamBatch, state: State, active: Tensor | None = None) -> tuple[Logits, State]:
        """`forward` for the rows that are `active` (B,)."""
        ...

    def init_state(
        self,
        rows: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_length: int | None = None,
    ) -> State:
        """The state before the first position; `max_length` positions fit without growing."""
        ...

    def num_parameters(self) -> int:
        """Parameters, frozen or not."""
        ...

    def flops_per_position(self, length: int) -> float:
        """Floating point operations of one position's forward pass in a sequence of `length` positions."""
        ...

    def parameters(self, recurse: bool = True) -> Any:
        """As of `torch.nn.Module`."""
        ...


class SequenceModule(nn.Module, SequenceModel):
    """A sequence model that is a torch module, as training and bundles need it: a type, nothing is inherited."""


def state_tensors(state: State, at: str = "", numbers: bool = True) -> dict[str, Tensor]:
    """Every tensor of a state by its path, and every number as a tensor, to be saved with safetensors."""
    if isinstance(state, Tensor):
        return {at: state}
    if isinstance(state, bool | int):
        return {at: torch.tensor(state)} if numbers else {}
    if isinstance(state, tuple):
        return {k: v for i, part in enumerate(state) for k, v in state_tensors(part, f"{at}.{i}", numbers).items()}
    if is_dataclass(state):
        parts = ((f.name, getattr(state, f.name)) for f in fields(state))
        return {k: v for name, part in parts for k, v in state_tensors(part, f"{at}.{name}", numbers).items()}
    return {}


def state_from_tensors(template: StateT, tensors: Mapping[str, Tensor], at: str = "") -> StateT:
    """The inverse of `state_tensors`: `template` (from `init_state`) with the saved values.

    Raises:
        ValueError: if a value is missing, as with a state of another model.
    """
    made: Any
    if isinstance(template, Tensor | bool | int):
        if at not in tensors:
            raise ValueError(f"the saved state has no value '{at}': it is of another model")
        saved = tensors[at]
        made = saved if isinstance(template, Tensor) else type(template)(saved.item())
    elif isinstance(template, tuple):
        made = tuple(state_from_tensors(part, tensors, f"{at}.{i}") for i, part in enumerate(template))
    elif is_dataclass(template) and not isinstance(template, type):
        parts = {f.name: getattr(template, f.name) for f in fields(template)}
        made = replace(template, **{n: state_from_tensors(p, tensors, f"{at}.{n}") for n, p in parts.items()})
    else:
        made = template
    result: StateT = made
    return result


def with_tensors(state: StateT, change: Callable[[Tensor], Tensor], keep: Collection[str] = ()) -> StateT:
    """The same state with every tensor changed; fields named in `keep` stay as they are, wherever they stand."""
    made: Any = state
    if isinstance(state, Tensor):
        made = change(state)
    elif isinstance(state, tuple):
        made = tuple(with_tensors(part, change, keep) for part in state)
    elif is_dataclass(state) and not isinstance(state, type):
        parts = {f.name: getattr(state, f.name) for f in fields(state)}
        made = replace(state, **{n: p if n in keep else with_tensors(p, change, keep) for n, p in parts.items()})
    result: StateT = made
    return result


def detached(state: StateT, keep: Collection[str] = ()) -> StateT:
    """The same values without the graph behind them; fields named in `keep` stay as they are, wherever they stand."""
    return with_tensors(state, Tensor.detach, keep)
