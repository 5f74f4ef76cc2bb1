"""Training code shared by all models of one kind."""
