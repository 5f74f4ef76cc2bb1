"""FastPitch (arXiv:2006.06873)."""
