"""Where each phone lies in a recording."""
