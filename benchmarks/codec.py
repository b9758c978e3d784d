"""How much of the music does the codec keep, by number of codebooks, and how fast is it?

Held-out pieces of `electronic` (split `test`, from seeds the codec's corpus does not use; twelve drum machines and all
styles, so the timbres are familiar and the music is not): mel distance and SI-SDR to the original, onset F1 and bass
pitch class against the notes with the original sound as peer. With LH_SOURCES the held-out real recordings too. Speed
on one thread against EnCodec's network at as many codebooks (random weights: speed does not depend on them).

    python benchmarks/codec.py --codec rvq
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from encodec.model import EncodecModel
from harness import Row, measure, parser, require_quiet, write_results
from numpy.typing import NDArray

from lh_mm.audio.codec import Codec
from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.io import read_audio, resample, to_mono
from lh_mm.audio.mel import SAMPLE_RATE, mel_distance
from lh_mm.audio.onsets import find_onsets
from lh_mm.data.codec_corpus import REAL_FOLDERS
from lh_mm.data.splits import split_of
from lh_mm.evaluate.audio import bass_pitch_class_accuracy, onset_scores, si_sdr_db
from lh_mm.evaluate.bootstrap import bootstrap_mean
from lh_mm.models.encodec import EncodecCodec
from lh_mm.models.load import load_codec
from lh_mm.music.compose import STYLES, compose
from lh_mm.nn.quantize import code_usage

FIRST_SEED = 5000
CROP_S = 10.0
CROPS_AT = (0.25, 0.45, 0.65)
SPEED_S = 30.0
Measures = dict[str, float]


def held_out_crops(num_pieces: int) -> list[tuple[str, NDArray[np.float32], NDArray[np.void]]]:
    """(piece, sound, notes) of crops of pieces whose split is `test`, styles in turn."""
    crops: list[tuple[str, NDArray[np.float32], NDArray[np.void]]] = []
    seed, pieces, styles = FIRST_SEED, 0, tuple(STYLES)
    while pieces < num_pieces:
        piece = compose(seed, styles[pieces % len(styles)], 60.0)
        seed += 1
        if split_of(piece.id) != "test" or piece.score is None:
            continue
        pieces += 1
        sound = Synth.for_labels(piece.labels, channels=1).render(piece.score, SAMPLE_RATE)[0]
        for share in CROPS_AT:
            start = round(share * (len(sound) - CROP_S * SAMPLE_RATE))
            wave = sound[start : start + round(CROP_S * SAMPLE_RATE)]
            score = piece.score.crop(start / SAMPLE_RATE, start / SAMPLE_RATE + CROP_S)
            crops.append((piece.id, wave, score.notes))
    return crops


def held_out_recordings(codec: Codec) -> list[tuple[str, NDArray[np.float32]]]:
    """Real recordings that the codec was not trained on, of a second or more."""
    sources = os.environ.get("LH_SOURCES")
    found = []
    for folder in REAL_FOLDERS if sources else ():
        for path in sorted((Path(str(sources)) / folder).rglob("*")):
            if path.suffix in (".flac", ".mp3") and split_of(f"{folder}/{path.name}") != "train":
                wave, rate = read_audio(path)
                mono = resample(to_mono(wave), rate, codec.sample_rate)[0]
                if len(mono) >= codec.sample_rate:
                    found.append((f"{folder}/{path.name}", mono))
    return found


def against_sound(wave: NDArray[np.float32], reference: NDArray[np.float32]) -> Measures:
    return {"mel distance": mel_distance(wave, reference), "SI-SDR": si_sdr_db(wave, reference)}


def against_notes(wave: NDArray[np.float32], notes: NDArray[np.void]) -> Measures:
    found = find_onsets(wave, SAMPLE_RATE)
    scores = {f"onset F1 at {ms} ms": onset_scores(notes["start_s"], found, ms / 1000).f1 for ms in (50, 25)}
    return scores | {"bass pitch class": bass_pitch_class_accuracy(wave, notes, SAMPLE_RATE)}


UNITS = {"mel distance": "nats", "SI-SDR": "dB"}


def rows_of(label: str, pieces: list[str], ours: list[Measures], peers: list[Measures] | None) -> list[Row]:
    rows = []
    for name in ours[0]:
        value = bootstrap_mean([m[name] for m in ours], pieces)
        if value is None:
            continue
        peer = bootstrap_mean([m[name] for m in peers], pieces) if peers and name in peers[0] else None
        unit = UNITS.get(name, "share")
        spread = (value.high - value.low) / max(abs(value.value), 1e-9)
        peer_name = "original sound" if peer else ""
        case, better = f"{name}, {label}", name != "mel distance"
        rows.append(Row(case, value.value, peer.value if peer else None, peer_name, unit, better, value.num, spread))
    return rows


def quality(codec: Codec, num_pieces: int) -> tuple[list[Row], list[list[float]]]:
    crops = held_out_crops(num_pieces)
    original = [against_notes(wave, notes) for _, wave, notes in crops]
    codes = [codec.encode(torch.from_numpy(wave)[None, None]) for _, wave, _ in crops]
    rows = []
    for depth in range(1, codec.num_codebooks + 1):
        ours = []
        for (_, wave, notes), c in zip(crops, codes, strict=True):
            back = codec.decode(c[..., :depth], len(wave))[0, 0].numpy()
            ours.append(against_sound(back, wave) | against_notes(back, notes))
        rows += rows_of(f"{depth} codebooks, synthetic", [name for name, _, _ in crops], ours, original)
    for depth in range(1, codec.num_codebooks + 1):
        real = held_out_recordings(codec)
        ours = []
        for _, wave in real:
            back = codec.decode(codec.encode(torch.from_numpy(wave)[None, None])[..., :depth], len(wave))[0, 0].numpy()
            ours.append(against_sound(back, wave))
        rows += rows_of(f"{depth} codebooks, real", [name for name, _ in real], ours, None) if ours else []
    usage, perplexity = code_usage(torch.cat(codes, 1), codec.codebook_size)
    return rows, [[round(value, 3) for value in values.tolist()] for values in (usage, perplexity)]


def speed(codec: Codec, n: int) -> list[Row]:
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    peer = EncodecCodec(model, 0.75 * codec.num_codebooks)
    wave = 0.1 * torch.randn(1, 1, round(SPEED_S * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))
    codes = torch.zeros(1, round(SPEED_S * codec.rate_hz), codec.num_codebooks, dtype=torch.int64)
    jobs: dict[str, Callable[[Codec], object]] = {
        "encode": lambda tool: tool.encode(wave),
        "decode": lambda tool: tool.decode(codes),
    }
    rows = []
    for label, do in jobs.items():
        ours = measure(lambda do=do: do(codec), n=n, clock=time.process_time)
        theirs = measure(lambda do=do: do(peer), n=max(1, n // 3), clock=time.process_time)
        unit, name = "s of audio per CPU s", f"EnCodec network, {peer.num_codebooks} codebooks"
        fast, slow = SPEED_S / ours.median_s, SPEED_S / theirs.median_s
        rows.append(Row(f"{label}, 1 thread", fast, slow, name, unit, True, n, ours.spread))
    return rows


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--pieces", type=int, default=30, help="held-out pieces (default: %(default)s)")
    arguments.add_argument("--codec", default="rvq", help="rvq or a codec folder (default: the shipped one)")
    options = arguments.parse_args()
    other = require_quiet(options.allow_noise)
    torch.set_num_threads(1)
    codec = load_codec(options.codec)
    rows, (usage, perplexity) = quality(codec, options.pieces)
    rows += speed(codec, options.n)
    write_results(
        "codec",
        "cpu",
        rows,
        other,
        spread_is="width of the 95 % interval over the value, bootstrap by piece; of speeds (max - min) / median",
        codec=codec.fingerprint,
        usage_by_codebook=usage,
        perplexity_by_codebook=perplexity,
    )


if __name__ == "__main__":
    main()
