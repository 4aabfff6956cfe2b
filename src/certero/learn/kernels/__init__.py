"""The CPU's speed-ups of training."""
