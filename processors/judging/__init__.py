"""How speech that was made compares with the recording that it should be."""
