"""Frozen records that the rooms hand to each other, a file for each noun."""
