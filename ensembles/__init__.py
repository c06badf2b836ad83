"""Pipelines: blueprints that expand a few settings into the models of an ensemble, and the demos that prove them."""
