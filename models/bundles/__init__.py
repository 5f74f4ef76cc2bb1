"""Finding, opening and warm-starting from bundles and checkpoints."""
