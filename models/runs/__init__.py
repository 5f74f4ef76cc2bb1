"""Training runs: of a model, and of the aligner that stage 1 trains for a corpus."""
