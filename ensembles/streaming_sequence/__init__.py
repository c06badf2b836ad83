"""Blueprint: a stateful ONNX model behind Triton's sequence batcher."""
