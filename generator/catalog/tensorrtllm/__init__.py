"""TensorRT-LLM's tensor contract as tables: what clients of its five models rely on, in each version from 0.12 to 1.2.

`versions`: a version as numbers, rows that came and went. `tensors`: what a row of a tensor is. `rows`: the inputs and
outputs of the five models. `steps`: the ensemble's maps. `parameters`: what the models read; kinds, choices, defaults.
"""
