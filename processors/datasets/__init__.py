"""Training data from the feature store: datasets, collation and batches."""
