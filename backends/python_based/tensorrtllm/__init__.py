"""The Python-based backend `tensorrtllm`: TensorRT-LLM's tensor contract on other engines."""
