"""Code that is independent of speech: trainer, checkpoints, logbook, files, console."""
