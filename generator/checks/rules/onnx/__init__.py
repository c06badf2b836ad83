"""Rules about ONNX files and their configurations."""
