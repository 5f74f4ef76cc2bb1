"""A model for tests of what serves every model."""
