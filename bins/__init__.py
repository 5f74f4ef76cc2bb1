"""The commands: each parses its arguments, loads settings and calls one thing."""

from utils.threads import limit_spinning

limit_spinning()
