"""Documentation, and the site that is built from it."""
