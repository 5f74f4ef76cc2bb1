"""Stage 1: feature extraction from corpora."""
