"""What to serve: the spec, the facts read from model files, the model repository that both make.

The lowest layer: `generator < ensembles < backends < perf`. A module imports from its own layer or a lower one.
"""
