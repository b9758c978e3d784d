"""What a model makes while it learns: sound for held-out notes, logged beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from lh_mm.audio.codec import Codec
from lh_mm.audio.pictures import piano_roll, spectrogram
from lh_mm.core.merge import AudioStream, EventStream
from lh_mm.data.mixture import MergedRows
from lh_mm.data.tasks import MIDI, MidiToAudio
from lh_mm.generate.request import Request
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.music.events import decode_events, encode_events
from lh_mm.systems.language import LanguageSystem
from lh_mm.systems.tracking import log_picture, log_sound

SAMPLE_S = 4.0


class LogSamples(Callback):
    """Every so many steps: four seconds of MIDI to audio of one held-out piece, with piano roll and spectrogram.

    Args:
        source: of merged rows with the task midi_to_audio; without it, or without held-out pieces, nothing is logged.
        codec: that made the set's codes.
        loggers: that can hold sounds and pictures.
        every_steps: between samples.
    """

    def __init__(self, source: Any, codec: Codec | None, loggers: Sequence[Logger], every_steps: int) -> None:
        self.codec, self.loggers, self.every_steps = codec, loggers, every_steps
        self.request: Request | None = None
        self.source = source
        if isinstance(source, MergedRows) and codec is not None:
            self.request = _request(source)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self.request is None or trainer.global_step % self.every_steps or not trainer.is_global_zero:
            return
        assert isinstance(module, LanguageSystem) and self.codec is not None
        sampling = Sampling(top_p=0.95)
        with module.averaged_weights():
            generation = Generation(
                module.model, [self.request], self.source.vocabulary, events=sampling, codes=sampling
            )
            codes = next(iter(generation.results()[0].codes.values()))
        with torch.inference_mode():
            wave = self.codec.decode(torch.from_numpy(codes)[None])[0].numpy().astype(np.float32)
        step = trainer.global_step
        log_sound(self.loggers, "sample/midi_to_audio", wave, self.codec.sample_rate, step)
        log_picture(self.loggers, "sample/spectrogram", spectrogram(wave[0], self.codec.sample_rate), step)
        stream = self.request.events[-1]
        score = decode_events(
            stream.clocks, stream.ids, self.source.spec.rate_hz, self.request.num_frames or 1, self.source.vocabulary
        )
        log_picture(self.loggers, "sample/notes", piano_roll(score), step)


def _request(source: MergedRows) -> Request | None:
    """MIDI to audio of the middle of the first held-out piece with notes."""
    task = next((task for task in source.config.tasks if isinstance(task, MidiToAudio)), None)
    pieces = [piece for piece in source.prepared.pieces("valid") if piece.num_notes and piece.tracks]
    if task is None or not pieces:
        return None
    piece, rate = pieces[0], source.spec.rate_hz
    num_frames = min(round(SAMPLE_S * rate), piece.num_frames)
    score = source.prepared.score(piece)
    assert score is not None
    start_s = max(0.0, (piece.duration_s - SAMPLE_S) / 2)
    part = score.crop(start_s, start_s + SAMPLE_S)
    events = encode_events(part.notes, rate, num_frames, source.vocabulary)
    stream = EventStream(
        MIDI, "given", task.delays[0],
        *(values.astype(np.int64) for values in (events.clocks, events.ids, events.onset_clocks)),
    )  # fmt: skip
    audio = AudioStream(piece.tracks[0], "generated", np.zeros((0, source.spec.num_codebooks), np.int64))
    return Request(events=(stream,), audio=(audio,), num_frames=num_frames, is_crop=True)
