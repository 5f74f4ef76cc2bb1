"""Lyre: a vocoder at frame rate, made to be trained and used on CPUs."""
