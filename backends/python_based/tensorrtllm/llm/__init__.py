"""Generate tokens: requests in, events out, whatever engine makes the tokens.

Inside Triton this package is called `llm` (the backend's folder is on the path), in the source tree it lies in
`tritonsmith.backends.python_based.tensorrtllm`; so its modules import one another relatively, and nothing else of ours.
"""
