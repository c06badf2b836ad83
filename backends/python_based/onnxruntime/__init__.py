"""Serves `backend: "onnxruntime"` on ONNX Runtime's Python package, by the C++ backend's rules.

Triton loads `model.py`; its neighbours are imported there by bare name (`from onnx_batching import ...`), so their
names are unique across backends and none imports another.
"""
