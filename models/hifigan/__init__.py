"""HiFi-GAN: mel to waveform (arXiv:2010.05646)."""
