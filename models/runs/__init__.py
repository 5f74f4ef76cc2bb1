"""Whole trainings: a model, and the aligner of a corpus that stage 1 trains."""
