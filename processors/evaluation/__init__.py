"""Objective evaluation of synthesised speech against recordings."""
