"""Trained voices for other runtimes: ONNX, programs of torch.export, sherpa-onnx."""
