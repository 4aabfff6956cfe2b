"""Backbone to features to head, and the ONNX graph of it."""
