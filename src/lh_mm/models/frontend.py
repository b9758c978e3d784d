"""The front end: a small causal CNN that lets the backbone hear given sound.

Log-mel or constant-Q frames, one for each slot and track, go through two convolutions over time and
frequency (a pattern of partials is the same in another key), then through causal depthwise convolutions over
time. The result is added at the frame position that shows the frame (docs/streams.md, section 7). After the
acoustic stack of Hawthorne et al. 2018 (Onsets and Frames, arXiv:1710.11153), which looks ahead; here nothing
is heard before its time, documents are packed, and there is a carried state.

Frames or whole documents are dropped in training, so that one model serves tasks with and without sound.

Shapes: B rows, A tracks, N frames, F bins, C channels, D width of the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config
from lh_mm.nn.conv import CausalConv, next_window, shifted
from lh_mm.nn.linear import Linear
from lh_mm.nn.norm import RMSNorm
from lh_mm.nn.positions import Positions

TIME_TAPS = 3
FREQUENCY_TAPS = 5
FREQUENCY_STRIDE = 3


class FrontendConfig(Config):
    """The shape of the front end."""

    channels: int = Field(16, ge=1)
    """Channels of the convolutions over time and frequency."""
    width: int = Field(128, ge=1)
    """Channels of the convolutions over time."""
    layers: int = Field(2, ge=0)
    """Number of convolutions over time, each over five frames."""
    frame_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of frames not heard in training."""
    document_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of documents whose sound is not heard in training."""


@dataclass(frozen=True)
class FrontendState:
    """What the front end remembers.

    Attributes:
        windows: of each convolution, (B A, taps - 1, ...).
        document: (B,) of the last frame.
        heard: (B, N, D) its output for all frames so far; a hole shows frames of the past once more.
    """

    windows: tuple[Tensor, ...]
    document: Tensor
    heard: Tensor


class _Bank(nn.Module):
    """Causal in time, strided in frequency: (B, N, C, F) to (B, N, C', F')."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            TIME_TAPS * channels_in, channels_out, FREQUENCY_TAPS, FREQUENCY_STRIDE, padding=FREQUENCY_TAPS // 2
        )

    def forward(self, x: Tensor, window: Tensor | None, document: Tensor | None) -> Tensor:
        stacked = torch.cat(shifted(x, window, document, TIME_TAPS), dim=2)  # (B, N, 3 C, F)
        return F.silu(self.conv(stacked.flatten(0, 1))).unflatten(0, x.shape[:2])


class _Block(nn.Module):
    """Residual: norm, depthwise causal convolution, pointwise network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        self.conv = CausalConv(width, 5)
        self.in_proj = Linear(width, 2 * width)
        self.out_proj = Linear(2 * width, width)


class Frontend(nn.Module):
    """Features to what is added at frame positions.

    Args:
        config: its shape.
        feature_dim: F.
        num_tracks: A; tracks share the convolutions and have an output layer each.
        dim: D.
    """

    def __init__(self, config: FrontendConfig, feature_dim: int, num_tracks: int, dim: int) -> None:
        super().__init__()
        self.config, self.feature_dim, self.dim = config, feature_dim, dim
        self.banks = nn.ModuleList([_Bank(2, config.channels), _Bank(config.channels, config.channels)])
        bins = feature_dim
        for _ in self.banks:
            bins = (bins - 1) // FREQUENCY_STRIDE + 1
        self.bins = (feature_dim, (feature_dim - 1) // FREQUENCY_STRIDE + 1)
        self.mix = nn.Linear(config.channels * bins, config.width)
        self.blocks = nn.ModuleList([_Block(config.width) for _ in range(config.layers)])
        self.norm = RMSNorm(config.width)
        self.out_proj = nn.ModuleList([Linear(config.width, dim) for _ in range(num_tracks)])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        linears = [m for m in self.modules() if isinstance(m, nn.Linear)]
        for layer in linears:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(self.mix.bias)
        for output in self.out_proj:
            assert isinstance(output, nn.Linear)
            nn.init.normal_(output.weight, std=0.02)

    def init_state(self, rows: int, device: torch.device | str) -> FrontendState:
        """The state before the first frame."""
        flat, c = rows * len(self.out_proj), self.config

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(flat, *shape, device=device)

        windows = [zeros(TIME_TAPS - 1, 2, self.bins[0]), zeros(TIME_TAPS - 1, c.channels, self.bins[1])]
        windows += [zeros(4, c.width) for _ in range(c.layers)]
        document = torch.zeros(rows, dtype=torch.int64, device=device)
        return FrontendState(tuple(windows), document, torch.zeros(rows, 0, self.dim, device=device))

    def forward(
        self, features: Tensor, given: Tensor, document: Tensor | None, state: FrontendState | None = None
    ) -> tuple[Tensor, FrontendState | None]:
        """Hear frames.

        Args:
            features: (B, A, N, F) from the row's start; frames the state has heard are passed over.
            given: (B, A, N) where there is something to hear.
            document: (B, N), or None for one document a row.
            state: of the frames before, or None.

        Returns:
            (B, N, D) the sum over tracks for all frames from the row's start, zero where nothing is given,
            and the state.
        """
        done = 0 if state is None else state.heard.shape[1]
        if done >= features.shape[2]:
            assert state is not None
            return state.heard, state
        features, given = features[:, :, done:], given[:, :, done:]
        if document is not None:
            document = document[:, done:]
        if self.training:
            given = given & self._kept(given, document)
        rows, tracks, frames, _ = features.shape
        x, new_windows = self._convolve(features, given, document, state)
        x = self.norm(x).view(rows, tracks, frames, -1)
        each = torch.stack([out(x[:, a]) for a, out in enumerate(self.out_proj)], dim=1)  # (B, A, N, D)
        heard = (each * given.unsqueeze(-1)).sum(1)
        if state is None:
            return heard, None
        last = state.document if document is None else document[:, -1]
        heard = torch.cat([state.heard, heard.to(state.heard.dtype)], dim=1)
        return heard, FrontendState(new_windows, last, heard)

    def _convolve(
        self, features: Tensor, given: Tensor, document: Tensor | None, state: FrontendState | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B A, N, width), and the windows behind it."""
        tracks, frames = features.shape[1:3]
        shown = features * given.unsqueeze(-1)
        mark = given.unsqueeze(-1).expand_as(shown).to(shown.dtype)  # silence is not the same as nothing given
        x = torch.stack([shown, mark], dim=3).flatten(0, 1)  # (B A, N, 2, F)
        windows: list[Tensor | None] = [None] * (len(self.banks) + len(self.blocks))
        per_track = None if document is None else document.repeat_interleave(tracks, dim=0)
        if state is not None:
            windows = list(state.windows)
            if document is not None:
                same = (document[:, 0] == state.document).repeat_interleave(tracks)
                windows = [w * same.view(-1, *[1] * (w.dim() - 1)) for w in state.windows]
        after: list[Tensor] = []
        where = Positions(torch.zeros(len(x), frames, dtype=torch.int64, device=x.device), document=per_track)

        def remember(value: Tensor, window: Tensor | None) -> None:
            if window is not None:
                after.append(next_window(value, window, where))

        for bank, window in zip(self.banks, windows, strict=False):
            remember(x, window)
            x = bank(x, window, per_track)
        x = self.mix(x.flatten(2))
        for block, window in zip(self.blocks, windows[len(self.banks) :], strict=True):
            assert isinstance(block, _Block)
            normed = block.norm(x)
            remember(normed, window)
            x = x + block.out_proj(F.silu(block.in_proj(block.conv(normed, window, per_track))))
        return x, tuple(after)

    def _kept(self, given: Tensor, document: Tensor | None) -> Tensor:
        """(B, A, N) what is heard in this training step."""
        rows, tracks, frames = given.shape
        c = self.config
        kept = torch.rand(rows, tracks, frames, device=given.device) >= c.frame_dropout
        documents = 1 if document is None else int(document.max()) + 1
        kept_document = torch.rand(rows, documents, device=given.device) >= c.document_dropout
        if document is None:
            return kept & kept_document.unsqueeze(-1)
        return kept & kept_document.gather(1, document).unsqueeze(1)
