"""The CPU engine: in-flight batching on ONNX Runtime, for Llama-style models."""

from .engine import load_engine
from .errors import EngineError
from .options import Options

__all__ = ["EngineError", "Options", "load_engine"]
