"""Finding bad recordings before hours are spent on them."""
