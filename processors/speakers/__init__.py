"""Speaker encoders, speaker embeddings and per-speaker statistics."""
