"""Backbones, features, the probe and the export: the only home of torch."""
