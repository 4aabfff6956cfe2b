"""The model file and the predictor: ONNX Runtime, no torch."""
