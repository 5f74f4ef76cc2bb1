"""Settings: JSON5 defaults, and the schema that checks them."""
