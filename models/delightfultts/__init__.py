"""DelightfulTTS (arXiv:2110.12612)."""
