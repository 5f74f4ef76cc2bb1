"""The commands: each parses its arguments, loads settings and calls one thing."""
