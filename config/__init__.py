"""Settings: JSON5 defaults, the schema that checks them, and paths."""
