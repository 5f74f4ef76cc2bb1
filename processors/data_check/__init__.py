"""The data check: bad recordings found before training."""
