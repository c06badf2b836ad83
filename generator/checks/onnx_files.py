"""Whether ONNX files are what their configurations say."""
