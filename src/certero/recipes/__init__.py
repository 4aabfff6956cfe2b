"""Recipes: TOML files with the settings of a training run."""
