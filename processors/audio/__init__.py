"""Audio files, and features of waveforms: mel, pitch, energy, Griffin-Lim."""
