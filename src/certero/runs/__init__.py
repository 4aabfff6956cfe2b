"""A run on disk: its folder, resuming, the seal and its openings, stored outputs."""
