"""Is it the same photo: copies, near copies, alignment, recognition."""
