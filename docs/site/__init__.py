"""Site of the documentation, by mkdocs."""
