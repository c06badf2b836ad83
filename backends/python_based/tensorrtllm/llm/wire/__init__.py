"""Between Triton and an engine: parameters -> settings, tensors -> requests, events -> responses, counters -> metrics.

`service.Service` is what the backend's model.py holds; the rest are its parts. Triton's own module
(`triton_python_backend_utils`) is handed in, so that all of this can be imported, and tested, without a server.
"""
