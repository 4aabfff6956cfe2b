"""Scores, intervals, calibration and slices."""
