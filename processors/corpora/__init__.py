"""Readers of corpora, by layout; splits, exclusions, downloads and the demo corpus."""
