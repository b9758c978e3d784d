"""Codecs by name or folder: the shipped one, one that was trained, or EnCodec.

A codec folder holds `config.json` and `codec.safetensors`; nothing in it is executed or unpickled. Weights are
stored in half precision: the codes are *defined* by the stored numbers, so nothing is lost between two readers,
and the fingerprint is of what was read.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lh_mm.audio.codec import Codec
from lh_mm.core.assets import asset
from lh_mm.core.files import atomic_folder, read_json, write_json
from lh_mm.models.encodec import EncodecConfig
from lh_mm.models.rvq_codec import RvqCodec, RvqCodecConfig

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "codec.safetensors"
SHIPPED = "weights/codec"


def save_codec(codec: RvqCodec, folder: Path, replace: bool = False) -> RvqCodec:
    """Write a codec folder and return the codec as it will be read back.

    Raises:
        FileExistsError: the folder exists and `replace` is false.
    """
    state = {name: value.detach().cpu().half().contiguous() for name, value in codec.inference_state().items()}
    with atomic_folder(folder, replace=replace) as target:
        write_json(target / CONFIG_NAME, codec.config.model_dump(mode="json"))
        save_file(state, target / WEIGHTS_NAME)
        (target / WEIGHTS_NAME).chmod(0o644)  # safetensors makes files private; shipped weights are not
    return load_rvq(folder)


def load_rvq(folder: Path) -> RvqCodec:
    """Our own codec from its folder, ready to encode and decode in float32.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a damaged file, an unknown setting, or weights of another shape; the message names the file.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: a codec folder holds {CONFIG_NAME} and {WEIGHTS_NAME}")
    try:
        codec = RvqCodecConfig.model_validate(read_json(folder / CONFIG_NAME)).build()
    except ValidationError as error:
        raise ValueError(f"{folder / CONFIG_NAME}: {error}") from error
    try:
        stored = load_file(folder / WEIGHTS_NAME)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS_NAME}: damaged weights: {error}") from error
    wanted = codec.inference_state()
    wrong = sorted(set(wanted) ^ set(stored)) or [n for n in wanted if wanted[n].shape != stored[n].shape]
    if wrong:
        raise ValueError(f"{folder / WEIGHTS_NAME}: weights do not fit {CONFIG_NAME}: {', '.join(wrong[:4])}")
    codec.load_state_dict({name: value.float() for name, value in stored.items()}, strict=False)
    codec.quantizer.start_from_vectors()
    return codec.eval().requires_grad_(False)


def load_codec(source: str | Path = "rvq", device: torch.device | str = "cpu") -> Codec:
    """A codec, frozen and ready.

    Args:
        source: `rvq` (the shipped one), `encodec` (24 kHz at 6 kbit/s, from the package's hub, downloaded once), or
            a folder made by `save_codec` or holding EnCodec's weights with a `config.json` of kind `encodec`.
        device: where it computes.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: the folder holds no codec that can be read.
    """
    if str(source) == "encodec":
        return EncodecConfig().build().to(device)
    folder = asset(SHIPPED) if str(source) == "rvq" else Path(source)
    if not (folder / CONFIG_NAME).is_file():
        raise FileNotFoundError(
            f"{folder / CONFIG_NAME}: no codec there; a codec is `rvq`, `encodec` or a folder with {CONFIG_NAME}"
        )
    kind = read_json(folder / CONFIG_NAME).get("kind")
    if kind == "rvq":
        return load_rvq(folder).to(device)
    if kind == "encodec":
        config = EncodecConfig.model_validate(read_json(folder / CONFIG_NAME))
        return config.model_copy(update={"path": config.path or folder}).build().to(device)
    raise ValueError(f"{folder / CONFIG_NAME}: kind {kind!r} is no codec; `rvq` and `encodec` are")
