"""WaveGlow: mel to waveform by a normalizing flow (arXiv:1811.00002)."""
