"""Aligner trained on the corpus that it aligns (arXiv:2108.10447)."""
