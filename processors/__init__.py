"""What speech is made of: corpora, text, audio, alignment, the feature store, batches."""
