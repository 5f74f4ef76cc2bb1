"""Stage 1: from a corpus to features."""
