"""LittleHolland: MIDI and audio on one clock."""
