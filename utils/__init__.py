"""Machinery without speech: trainer, checkpoints, logbook, files, console."""
