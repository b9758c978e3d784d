"""`lh codec`: a sound file to a file of packed codes, and back.

A codec that streams works in constant memory, ten seconds at a time, and gives what the whole file at once would
give; another one takes the whole file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from lh_mm.audio.blocks import mono_blocks, num_samples_at
from lh_mm.audio.codec import SUFFIX, Codec, CodeFile, StreamingCodec, read_codes, write_codes
from lh_mm.audio.io import write_audio
from lh_mm.core.files import write_atomic
from lh_mm.core.log import progress
from lh_mm.models.load import load_codec

_BLOCK_FRAMES = 750
"""Ten seconds of codes at 75 Hz."""


def encode(audio: Path, out: Path | None = None, codec: str | Path = "rvq") -> str:
    """Write the codes of a sound file beside it or to `out`; returns a line that says what was written.

    Raises:
        AudioError: the file cannot be read.
        ValueError: it holds no samples.
    """
    out = audio.with_suffix(SUFFIX) if out is None else out
    tool = load_codec(codec)
    num_samples = num_samples_at(audio, tool.sample_rate)
    if num_samples == 0:
        raise ValueError(f"{audio}: holds no samples")
    codes = _stream_codes(tool, audio, num_samples) if isinstance(tool, StreamingCodec) else _whole_codes(tool, audio)
    write_codes(
        out, CodeFile(codes, num_samples, tool.sample_rate, tool.hop_samples, tool.codebook_size, tool.fingerprint)
    )
    seconds = num_samples / tool.sample_rate
    size = out.stat().st_size
    return f"{out}: {seconds:.1f} s, {len(codes)} frames x {codes.shape[1]} codes, {8e-3 * size / seconds:.2f} kbit/s"


def decode(codes: Path, out: Path | None = None, codec: str | Path = "rvq") -> str:
    """Write the sound of a code file as WAV beside it or to `out`; returns a line that says what was written.

    Raises:
        ValueError: not a code file, or made by another codec.
    """
    out = codes.with_suffix(".wav") if out is None else out
    tool = load_codec(codec)
    file = read_codes(codes)
    file.require(tool, str(codes))
    tokens = torch.from_numpy(file.codes)[None]
    if isinstance(tool, StreamingCodec) and out.suffix.lower() == ".wav":
        _stream_sound(tool, tokens, file.num_samples, out)
    else:
        write_audio(out, tool.decode(tokens, file.num_samples)[0].numpy(), tool.sample_rate)
    return f"{out}: {file.num_samples / tool.sample_rate:.1f} s at {tool.sample_rate} Hz"


def _stream_codes(codec: StreamingCodec, audio: Path, num_samples: int) -> NDArray[np.int64]:
    state, held, frames = codec.init_stream(1), np.zeros(0, np.float32), []
    with progress("encoding", num_samples // codec.sample_rate, "s") as bar:
        for block in mono_blocks(audio, codec.sample_rate):
            held = np.concatenate([held, block])
            whole = len(held) // codec.hop_samples * codec.hop_samples
            step, state = codec.encode_step(_wave(held[:whole]), state)
            frames.append(step[0].numpy())
            held = held[whole:]
            bar.advance(len(block) // codec.sample_rate)
        if len(held):
            last = np.pad(held, (0, codec.hop_samples - len(held)))
            frames.append(codec.encode_step(_wave(last), state)[0][0].numpy())
    return np.concatenate(frames)


def _whole_codes(codec: Codec, audio: Path) -> NDArray[np.int64]:
    wave = np.concatenate(list(mono_blocks(audio, codec.sample_rate)))
    codes: NDArray[np.int64] = codec.encode(_wave(wave))[0].numpy()
    return codes


def _stream_sound(codec: StreamingCodec, codes: Tensor, num_samples: int, out: Path) -> None:
    state, left = codec.init_stream(1), num_samples
    with (
        write_atomic(out) as handle,
        soundfile.SoundFile(handle, "w", codec.sample_rate, channels=1, format="WAV", subtype="PCM_16") as sound,
        progress("decoding", codes.shape[1], "frames") as bar,
    ):
        for first in range(0, codes.shape[1], _BLOCK_FRAMES):
            block = codes[:, first : first + _BLOCK_FRAMES]
            wave, state = codec.decode_step(block, state, final=first + _BLOCK_FRAMES >= codes.shape[1])
            samples = wave[0, 0, :left].clamp(-1.0, 1.0).numpy()
            sound.write(samples)
            left -= len(samples)
            bar.advance(block.shape[1])


def _wave(samples: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(samples)[None, None]
