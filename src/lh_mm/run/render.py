"""`lh render`: a MIDI file played by an instrument."""

from __future__ import annotations

from pathlib import Path

from lh_mm.audio.instruments.base import Instrument
from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.io import write_audio
from lh_mm.music.midi_io import read_midi

TAIL_S = 1.5
"""Room for releases and reverb behind the last note."""


def build_instrument(name: str, *, kit: str = "kit00", preset_seed: int = 0) -> Instrument:
    """An instrument by name.

    Raises:
        ValueError: for an unknown one.
    """
    if name != "synth":
        raise ValueError(f"--with should be synth, got '{name}'")
    return Synth(kit=kit, preset_seed=preset_seed)


def render(
    midi: Path,
    out: Path | None = None,
    *,
    instrument: str = "synth",
    kit: str = "kit00",
    preset_seed: int = 0,
    sample_rate: int = 44_100,
    stems: bool = False,
) -> Path:
    """Render a MIDI file to a sound file.

    Args:
        midi: the notes.
        out: a .wav or .flac, by default beside the MIDI file.
        instrument: `synth`.
        kit: drum kit of the synth.
        preset_seed: another number, other timbres.
        sample_rate: in Hz.
        stems: also write `<out>.<track>.wav`, before the master.

    Returns:
        The file that was written.

    Raises:
        MidiError: if the file cannot be read.
        ValueError: for an unknown instrument, kit or file ending.
    """
    score = read_midi(midi)
    out = out or midi.with_suffix(".wav")
    player = build_instrument(instrument, kit=kit, preset_seed=preset_seed)
    if not isinstance(player, Synth):
        write_audio(out, player.render(score, sample_rate), sample_rate)
        return out
    write_audio(out, player.render(score, sample_rate, tail_s=TAIL_S), sample_rate)
    if stems:
        for name, wave in player.render_stems(score, sample_rate, tail_s=TAIL_S).items():
            safe = "".join(c if c.isalnum() or c in "-_ " else "_" for c in name).strip() or "track"
            write_audio(
                out.with_name(f"{out.stem}.{safe}{out.suffix}"), wave, sample_rate, floating=out.suffix == ".wav"
            )
    return out
