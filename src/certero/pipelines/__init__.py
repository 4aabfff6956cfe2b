"""The order of the stages: train, evaluate, demo."""
