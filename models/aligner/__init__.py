"""An aligner that learns from a corpus where its phones lie (arXiv:2108.10447)."""
