"""Records into HTML and pictures."""
