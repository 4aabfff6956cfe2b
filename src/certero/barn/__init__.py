"""The drawn demo: a barn planned, drawn and rendered from a seed."""
