"""FastSpeech 2 (arXiv:2006.04558)."""
