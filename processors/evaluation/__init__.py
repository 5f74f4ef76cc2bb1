"""Objective measures of synthesised speech against recordings."""
