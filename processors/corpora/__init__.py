"""Readers of corpora in the layouts people have."""
