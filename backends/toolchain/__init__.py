"""The tools on this machine: tritonserver, perf_analyzer, libpython; found, installed, examined."""
