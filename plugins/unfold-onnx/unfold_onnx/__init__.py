"""unfold's models as ONNX graphs, for programs without PyTorch."""
