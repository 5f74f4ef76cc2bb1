"""Training data: datasets, collation and batches over the feature store."""
