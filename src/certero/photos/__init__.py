"""Bytes to pixels to facts: the only decoder, and what one look at a photo tells."""
