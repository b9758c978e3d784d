"""EnCodec (Défossez et al. 2022, arXiv:2210.13438) at 24 kHz, through its own package, behind our protocol.

The network and its weights are the package's; what is ours is the shape of the codes (time first, `ZERO` where a
codebook contributes nothing), identity by fingerprint, and weights that are never unpickled: the published file
is read with `weights_only`. Its padding reflects the end of the input, so pieces do not equal the whole: it offers
`Codec`, not `StreamingCodec`. The code is MIT; the published weights are CC BY-NC 4.0, so nothing here ships them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import torch
from encodec.model import EncodecModel
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from lh_mm.core.config import Config

PUBLISHED_NAME = "encodec_24khz-d7cc33bc.th"
PUBLISHED_URL = f"https://dl.fbaipublicfiles.com/encodec/v0/{PUBLISHED_NAME}"
SAFE_NAME = "encodec.safetensors"


class EncodecConfig(Config):
    """Which EnCodec, and how much of it."""

    kind: Literal["encodec"] = "encodec"
    path: Path | None = None
    """Weights: a file, or a folder with the published file or `encodec.safetensors`; None takes them from the hub."""
    bandwidth_kbps: Literal[1.5, 3.0, 6.0, 12.0, 24.0] = 6.0
    """750 bit/s a codebook: 2, 4, 8, 16 or 32 codebooks."""

    def build(self) -> EncodecCodec:
        """The codec with its weights.

        Raises:
            FileNotFoundError: `path` holds no weights.
            ValueError: they do not fit the network.
        """
        model = EncodecModel.encodec_model_24khz(pretrained=False)
        state = _read_weights(self.path)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{self.path or PUBLISHED_URL}: not the weights of EnCodec 24 kHz: {error}") from error
        return EncodecCodec(model, self.bandwidth_kbps)


def _read_weights(path: Path | None) -> dict[str, Tensor]:
    if path is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / PUBLISHED_NAME
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = path.stem.split("-")[1]
            torch.hub.download_url_to_file(PUBLISHED_URL, str(path), hash_prefix=digest, progress=False)
    elif path.is_dir():
        found = [path / name for name in (SAFE_NAME, PUBLISHED_NAME) if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"{path}: holds neither {SAFE_NAME} nor {PUBLISHED_NAME}")
        path = found[0]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no weights of EnCodec there")
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class EncodecCodec(nn.Module):
    """EnCodec's causal 24 kHz model with a fixed number of codebooks.

    Args:
        model: of the package, with weights.
        bandwidth_kbps: says how many codebooks are used.
    """

    def __init__(self, model: EncodecModel, bandwidth_kbps: float) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.hop_samples = int(model.encoder.hop_length)
        self.sample_rate = int(model.sample_rate)
        self.codebook_size = int(model.quantizer.bins)
        bits_per_s = self.rate_hz * model.bits_per_codebook
        self.num_codebooks = int(1000 * bandwidth_kbps // bits_per_s)

    @property
    def rate_hz(self) -> float:
        return self.sample_rate / self.hop_samples

    @property
    def look_ahead_s(self) -> float:
        return 0.0

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"encodec 24 kHz, {self.num_codebooks} codebooks".encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def code_vectors(self) -> Tensor:
        """(K, C, 128) the vector of each code."""
        return torch.stack([layer.codebook for layer in self.model.quantizer.vq.layers[: self.num_codebooks]]).float()

    @torch.no_grad()
    def encode(self, wave: Float[Tensor, "batch 1 samples"]) -> Int[Tensor, "batch frames codebooks"]:
        if wave.ndim != 3 or wave.shape[1] != 1:
            raise ValueError(f"a codec takes mono sound (batch, 1, samples), got {tuple(wave.shape)}")
        latents = self.model.encoder(wave)  # (B, D, N)
        codes: Tensor = self.model.quantizer.vq.encode(latents, n_q=self.num_codebooks)  # (K, B, N)
        return codes.permute(1, 2, 0)

    @torch.no_grad()
    def decode(
        self, codes: Int[Tensor, "batch frames codebooks"], num_samples: int | None = None
    ) -> Float[Tensor, "batch 1 samples"]:
        if codes.shape[-1] > self.num_codebooks:
            raise ValueError(f"codes have {codes.shape[-1]} codebooks, the codec has {self.num_codebooks}")
        latents = torch.zeros((), device=codes.device)
        for k in range(codes.shape[-1]):
            column = codes[..., k]
            vectors = self.model.quantizer.vq.layers[k].decode(column.clamp(min=0))  # (B, D, N)
            latents = latents + vectors * (column >= 0).unsqueeze(1)
        wave: Tensor = self.model.decoder(latents)
        return wave[..., : codes.shape[1] * self.hop_samples if num_samples is None else num_samples]
