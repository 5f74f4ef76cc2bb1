"""Report pages and pictures of speech."""
