"""From text to phones."""
