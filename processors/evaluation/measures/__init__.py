"""Metrics of synthesised speech, one file each; `processors.evaluation.metrics` registers them."""
