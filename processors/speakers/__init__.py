"""Speaker encoders, speaker embeddings and statistics per speaker."""
