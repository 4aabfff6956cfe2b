"""A network that trains in a second."""

from __future__ import annotations

TINY = """
fitting = "network"
image_size = 32
epochs = 3
batch_size = 16
lr = 0.01
optimizer = "adamw"
ema = 0.9
augment = "light"
random_splits = 0
checkpoint_seconds = 0
layers = [
  { layer = "conv", filters = 8, kernel = 3, padding = 1 },
  { layer = "batch_norm" },
  { layer = "relu" },
  { layer = "max_pool", size = 4 },
  { layer = "dropout", share = 0.2 },
  { layer = "flatten" },
  { layer = "dense", units = "classes" },
]
"""
