"""UnivNet: mel to waveform (arXiv:2106.07889)."""
