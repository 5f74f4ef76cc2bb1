"""Use of trained models: synthesis, vocoding, mel prediction, forced alignment."""
