"""An engine on TensorRT-LLM's LLM API, thin: requests are translated, tokens passed on. It needs an NVIDIA GPU."""

from .engine import LlmEngine
from .open import open_llm

__all__ = ["LlmEngine", "open_llm"]
