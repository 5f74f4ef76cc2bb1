"""Alignment of recordings with the words and phones of their texts."""
