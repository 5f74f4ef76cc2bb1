"""Trained voices in forms that other runtimes read: ONNX."""
