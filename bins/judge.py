"""The former name of `bins.evaluate`."""

import sys

print("error: bins.judge is called bins.evaluate now: python -m bins.evaluate, with the same flags", file=sys.stderr)
sys.exit(2)
