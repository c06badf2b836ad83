"""Whether TensorRT engines are what their configurations say."""
