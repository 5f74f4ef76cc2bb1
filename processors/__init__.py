"""Speech data: corpora, text, audio, alignment, the feature store, datasets."""
